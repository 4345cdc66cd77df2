//! Little-endian numbers and strings from untrusted bytes.

use super::value::{Array, Value};

/// A position in a file's bytes. Errors are reasons without the file's name.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

/// A number of fixed width.
pub(super) trait Scalar: Sized {
    /// Bytes in the file.
    const BYTES: usize;
    /// Reads the number from exactly [`BYTES`](Self::BYTES) bytes.
    fn from_bytes(bytes: &[u8]) -> Result<Self, String>;
}

macro_rules! scalar {
    ($($number:ty),*) => {$(
        impl Scalar for $number {
            const BYTES: usize = size_of::<$number>();
            fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
                bytes.try_into().map(<$number>::from_le_bytes).map_err(|_| "a number is cut short".into())
            }
        }
    )*};
}
scalar!(u8, i8, u16, i16, u32, i32, f32, u64, i64, f64);

impl Scalar for bool {
    const BYTES: usize = 1;
    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        match bytes {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(format!("a boolean has the value {bytes:?}")),
        }
    }
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.position
    }

    fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let taken = rest.get(..len).ok_or_else(|| {
            format!("{len} bytes are needed at byte {} of {}: truncated?", self.position, self.bytes.len())
        })?;
        self.position += len;
        Ok(taken)
    }

    /// One number.
    pub fn scalar<T: Scalar>(&mut self) -> Result<T, String> {
        T::from_bytes(self.take(T::BYTES)?)
    }

    /// A count of items of at least `bytes_each` bytes. A count that the remaining bytes cannot hold is refused, so
    /// that a false one never leads to an allocation.
    pub fn count(&mut self, bytes_each: usize) -> Result<usize, String> {
        let count: u64 = self.scalar()?;
        usize::try_from(count)
            .ok()
            .filter(|count| count.checked_mul(bytes_each).is_some_and(|bytes| bytes <= self.remaining()))
            .ok_or_else(|| {
                format!("a count of {count} does not fit in the {} bytes that follow it", self.remaining())
            })
    }

    /// A string: its length, then UTF-8 without a terminator.
    pub fn string(&mut self) -> Result<&'a str, String> {
        let len = self.count(1)?;
        let start = self.position;
        std::str::from_utf8(self.take(len)?).map_err(|error| {
            format!("the string at byte {start} is not UTF-8 (its byte {})", error.valid_up_to())
        })
    }

    fn array<T: Scalar>(&mut self) -> Result<Vec<T>, String> {
        let count = self.count(T::BYTES)?;
        self.take(count * T::BYTES)?.chunks_exact(T::BYTES).map(T::from_bytes).collect()
    }

    /// A metadata value: its type, then its contents.
    pub fn value(&mut self) -> Result<Value, String> {
        Ok(match self.scalar::<u32>()? {
            0 => Value::U8(self.scalar()?),
            1 => Value::I8(self.scalar()?),
            2 => Value::U16(self.scalar()?),
            3 => Value::I16(self.scalar()?),
            4 => Value::U32(self.scalar()?),
            5 => Value::I32(self.scalar()?),
            6 => Value::F32(self.scalar()?),
            7 => Value::Bool(self.scalar()?),
            8 => Value::String(self.string()?.into()),
            9 => Value::Array(self.array_value()?),
            10 => Value::U64(self.scalar()?),
            11 => Value::I64(self.scalar()?),
            12 => Value::F64(self.scalar()?),
            id => return Err(format!("has the unknown value type {id}")),
        })
    }

    fn array_value(&mut self) -> Result<Array, String> {
        Ok(match self.scalar::<u32>()? {
            0 => Array::U8(self.array()?),
            1 => Array::I8(self.array()?),
            2 => Array::U16(self.array()?),
            3 => Array::I16(self.array()?),
            4 => Array::U32(self.array()?),
            5 => Array::I32(self.array()?),
            6 => Array::F32(self.array()?),
            7 => Array::Bool(self.array()?),
            8 => {
                let count = self.count(u64::BYTES)?;
                Array::String(
                    (0..count).map(|_| self.string().map(str::to_string)).collect::<Result<_, _>>()?,
                )
            }
            9 => return Err("is an array of arrays, which is not supported".into()),
            10 => Array::U64(self.array()?),
            11 => Array::I64(self.array()?),
            12 => Array::F64(self.array()?),
            id => return Err(format!("is an array of the unknown value type {id}")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_little_endian() {
        let mut reader = Reader::new(&[1, 2, 3, 4, 0xff]);
        assert_eq!(reader.scalar::<u32>(), Ok(0x0403_0201));
        assert_eq!(reader.scalar::<i8>(), Ok(-1));
        assert_eq!(reader.position(), 5);
        assert!(reader.scalar::<u8>().unwrap_err().contains("byte 5 of 5"));
    }

    #[test]
    fn a_lying_count_is_refused_before_anything_is_allocated() {
        for count in [3u64, u64::MAX, u64::MAX / 8 + 1] {
            let mut bytes = count.to_le_bytes().to_vec();
            bytes.extend([0; 16]);
            assert!(Reader::new(&bytes).count(8).is_err(), "{count}");
        }
    }

    #[test]
    fn strings_are_utf8() {
        let mut bytes = 2u64.to_le_bytes().to_vec();
        bytes.extend([b'a', 0xff]);
        assert_eq!(
            Reader::new(&bytes).string(),
            Err("the string at byte 8 is not UTF-8 (its byte 1)".into())
        );
    }

    #[test]
    fn booleans_are_zero_or_one() {
        assert_eq!(Reader::new(&[7, 0, 0, 0, 1]).value(), Ok(Value::Bool(true)));
        assert!(Reader::new(&[7, 0, 0, 0, 2]).value().is_err());
    }
}

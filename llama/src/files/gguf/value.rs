//! Metadata values.

/// A metadata value, of one of GGUF's types.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // the types' own names
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(String),
    Array(Array),
    U64(u64),
    I64(i64),
    F64(f64),
}

/// An array of values of one type. Arrays of arrays are not read: no model has any.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // the types' own names
pub enum Array {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    F32(Vec<f32>),
    Bool(Vec<bool>),
    String(Vec<String>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F64(Vec<f64>),
}

impl Value {
    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// A boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        }
    }

    /// An integer of any type that is not negative; programs choose different widths for the same key.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Value::U8(value) => Some(value.into()),
            Value::U16(value) => Some(value.into()),
            Value::U32(value) => Some(value.into()),
            Value::U64(value) => Some(value),
            Value::I8(value) => value.try_into().ok(),
            Value::I16(value) => value.try_into().ok(),
            Value::I32(value) => value.try_into().ok(),
            Value::I64(value) => value.try_into().ok(),
            _ => None,
        }
    }

    /// An integer of any type that fits.
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Value::I8(value) => Some(value.into()),
            Value::I16(value) => Some(value.into()),
            Value::I32(value) => Some(value.into()),
            Value::I64(value) => Some(value),
            _ => self.as_u64()?.try_into().ok(),
        }
    }

    /// A number of any type.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Value::F32(value) => Some(value.into()),
            Value::F64(value) => Some(value),
            Value::U64(value) => Some(value as f64),
            _ => self.as_i64().map(|value| value as f64),
        }
    }

    /// An array.
    pub fn as_array(&self) -> Option<&Array> {
        match self {
            Value::Array(array) => Some(array),
            _ => None,
        }
    }

    /// An array of strings.
    pub fn as_strings(&self) -> Option<Vec<&str>> {
        match self.as_array()? {
            Array::String(texts) => Some(texts.iter().map(String::as_str).collect()),
            _ => None,
        }
    }

    /// An array of integers of any type that all fit.
    pub fn as_i32s(&self) -> Option<Vec<i32>> {
        fn fit<T: Copy + TryInto<i32>>(values: &[T]) -> Option<Vec<i32>> {
            values.iter().map(|&value| value.try_into().ok()).collect()
        }
        match self.as_array()? {
            Array::U8(values) => fit(values),
            Array::I8(values) => fit(values),
            Array::U16(values) => fit(values),
            Array::I16(values) => fit(values),
            Array::U32(values) => fit(values),
            Array::I32(values) => Some(values.clone()),
            Array::U64(values) => fit(values),
            Array::I64(values) => fit(values),
            _ => None,
        }
    }

    /// An array of floating-point numbers.
    pub fn as_f32s(&self) -> Option<Vec<f32>> {
        match self.as_array()? {
            Array::F32(values) => Some(values.clone()),
            Array::F64(values) => Some(values.iter().map(|&value| value as f32).collect()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_any_width_are_read_where_they_fit() {
        assert_eq!(Value::U8(7).as_u64(), Some(7));
        assert_eq!(Value::I32(-1).as_u64(), None);
        assert_eq!(Value::I32(-1).as_i64(), Some(-1));
        assert_eq!(Value::U64(u64::MAX).as_i64(), None);
        assert_eq!(Value::U64(u64::MAX).as_u64(), Some(u64::MAX));
        assert_eq!(Value::F32(1.5).as_f64(), Some(1.5));
        assert_eq!(Value::I8(-3).as_f64(), Some(-3.0));
        assert_eq!(Value::String("7".into()).as_u64(), None);
    }

    #[test]
    fn arrays_are_converted_where_nothing_is_lost() {
        assert_eq!(Value::Array(Array::U32(vec![1, 2])).as_i32s(), Some(vec![1, 2]));
        assert_eq!(Value::Array(Array::U32(vec![u32::MAX])).as_i32s(), None);
        assert_eq!(Value::Array(Array::F32(vec![0.5])).as_f32s(), Some(vec![0.5]));
        assert_eq!(Value::Array(Array::F32(vec![0.5])).as_strings(), None);
        assert_eq!(Value::Bool(true).as_i32s(), None);
    }
}

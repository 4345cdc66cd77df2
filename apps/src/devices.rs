//! `--device`, and what it can name.

use engine::device::{self, Found};

/// What follows `--device`. `list` prints this machine's devices and ends the process, as `--help` does, whatever else
/// the command would have needed.
pub fn device(name: &str) -> Result<String, std::convert::Infallible> {
    if name == "list" {
        print!("{}", table(&device::list()));
        std::process::exit(0);
    }
    Ok(name.into())
}

/// A line a device: name, description, memory, and the largest tensor where there is a limit.
fn table(devices: &[Found]) -> String {
    let width = devices.iter().map(|found| found.name.len()).max().unwrap_or(0);
    let line = |Found { name, info }: &Found| {
        let memory = match info.memory {
            Some(bytes) => format!("{} of memory", size(bytes)),
            None => "its driver does not tell its memory".into(),
        };
        let largest = match info.largest_tensor {
            Some(bytes) => format!(", tensors of at most {}", size(bytes)),
            None => String::new(),
        };
        format!("{name:width$}  {}, {memory}{largest}\n", info.description)
    };
    devices.iter().map(line).collect()
}

fn size(bytes: u64) -> String {
    const GIB: u64 = 1 << 30;
    match bytes {
        GIB.. => format!("{:.1} GiB", bytes as f64 / GIB as f64),
        _ => format!("{} MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use engine::device::DeviceInfo;

    use super::*;

    #[test]
    fn a_device_is_a_line() {
        let found = |name: &str, memory, largest_tensor| Found {
            name: name.into(),
            info: DeviceInfo { description: format!("a {name}"), memory, largest_tensor },
        };
        let devices = [found("cpu", Some(25 << 30), None), found("wgpu:0", None, Some(128 << 20))];
        let expected = "cpu     a cpu, 25.0 GiB of memory\n\
                        wgpu:0  a wgpu:0, its driver does not tell its memory, tensors of at most 128 MiB\n";
        assert_eq!(table(&devices), expected);
    }
}

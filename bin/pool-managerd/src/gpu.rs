//! The machine's GPUs, as the driver's library tells them.
//!
//! The library is looked up at run time, so the same agent runs on a machine without one and says so.

use std::{fs, sync::Arc, time::Duration};

use nvml_wrapper::{Nvml, error::NvmlError};
use pool_registry_types::{GpuView, NodeCapabilities};
use tokio::{sync::watch, time::sleep};
use tracing::{info, warn};

/// How often the memory of the GPUs is read.
const INTERVAL: Duration = Duration::from_secs(2);

/// One GPU now.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// Its number on the machine.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// All of its memory.
    pub total_bytes: u64,
    /// The free part of it.
    pub free_bytes: u64,
    /// What it can compute, as in `8.9`.
    pub compute_capability: Option<String>,
    /// How busy it is, from 0 to 1.
    pub utilization: Option<f64>,
}

/// Where readings come from.
#[derive(Debug)]
pub enum Gpus {
    /// There is no GPU, or no driver.
    None,
    /// NVIDIA's driver.
    Nvml(Box<Nvml>),
    /// Always the same, for tests.
    Fixed(Vec<Reading>),
}

impl Gpus {
    /// Looks for the driver's library, and says what was found.
    pub fn find() -> Self {
        match Nvml::init() {
            Ok(nvml) => {
                let version = nvml.sys_driver_version().unwrap_or_default();
                info!(driver = version, gpus = nvml.device_count().unwrap_or(0), "NVIDIA's driver is there");
                Self::Nvml(Box::new(nvml))
            }
            Err(error) => {
                info!(reason = %error, "no GPU: NVIDIA's library is not there or does not answer");
                Self::None
            }
        }
    }

    /// All GPUs now. It asks the driver and blocks for some milliseconds.
    pub(crate) fn read(&self) -> Vec<Reading> {
        match self {
            Self::None => Vec::new(),
            Self::Fixed(readings) => readings.clone(),
            Self::Nvml(nvml) => {
                let count = nvml.device_count().unwrap_or(0);
                (0..count).filter_map(|index| read_one(nvml, index)).collect()
            }
        }
    }
}

fn read_one(nvml: &Nvml, index: u32) -> Option<Reading> {
    let read = || -> Result<Reading, NvmlError> {
        let device = nvml.device_by_index(index)?;
        let memory = device.memory_info()?;
        // Some devices do not tell these two.
        let compute = device.cuda_compute_capability().ok();
        let utilization = device.utilization_rates().ok();
        Ok(Reading {
            index,
            name: device.name()?,
            total_bytes: memory.total,
            free_bytes: memory.free.min(memory.total),
            compute_capability: compute.map(|it| format!("{}.{}", it.major, it.minor)),
            utilization: utilization.map(|it| f64::from(it.gpu.min(100)) / 100.0),
        })
    };
    read().map_err(|error| warn!(device_id = index, %error, "a GPU does not answer")).ok()
}

/// Reads the GPUs again and again.
#[expect(clippy::infinite_loop, reason = "it is run under a token that ends it")]
pub(crate) async fn sample(gpus: Arc<Gpus>, readings: watch::Sender<Arc<Vec<Reading>>>) {
    loop {
        sleep(INTERVAL).await;
        let gpus = Arc::clone(&gpus);
        if let Ok(read) = tokio::task::spawn_blocking(move || gpus.read()).await {
            readings.send_replace(Arc::new(read));
        }
    }
}

/// The memory and the load of some of the GPUs together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Share {
    pub(crate) free_bytes: u64,
    pub(crate) total_bytes: Option<u64>,
    pub(crate) utilization: Option<f64>,
}

/// What the GPUs of `devices` have together; all GPUs when it is not told.
pub(crate) fn share(readings: &[Reading], devices: Option<&str>) -> Share {
    let wanted = |index: u32| match devices {
        None => true,
        Some(devices) => devices.split(',').any(|device| device.parse() == Ok(index)),
    };
    let own: Vec<&Reading> = readings.iter().filter(|reading| wanted(reading.index)).collect();
    if own.is_empty() {
        return Share::default();
    }
    let busiest = own.iter().filter_map(|reading| reading.utilization).reduce(f64::max);
    Share {
        free_bytes: own.iter().map(|reading| reading.free_bytes).sum(),
        total_bytes: Some(own.iter().map(|reading| reading.total_bytes).sum()),
        utilization: busiest,
    }
}

/// What the machine has.
pub(crate) fn capabilities(readings: &[Reading]) -> NodeCapabilities {
    let gpus = readings.iter().map(|reading| GpuView {
        device_id: reading.index,
        name: reading.name.clone(),
        vram_total_bytes: reading.total_bytes,
        compute_capability: reading.compute_capability.clone(),
    });
    let cores = std::thread::available_parallelism().ok().and_then(|cores| u32::try_from(cores.get()).ok());
    NodeCapabilities { gpus: gpus.collect(), cpu_cores: cores, ram_total_bytes: ram_total() }
}

fn ram_total() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(index: u32, free: u64, load: f64) -> Reading {
        Reading { index, total_bytes: 100, free_bytes: free, utilization: Some(load), ..Reading::default() }
    }

    #[test]
    fn a_pool_has_the_memory_of_its_own_devices() {
        let all = [reading(0, 10, 0.25), reading(1, 20, 0.75), reading(2, 40, 1.0)];
        let share_of = |devices| share(&all, devices);
        let some =
            |free, total, load| Share { free_bytes: free, total_bytes: Some(total), utilization: Some(load) };
        assert_eq!(share_of(Some("0,1")), some(30, 200, 0.75));
        assert_eq!(share_of(None), some(70, 300, 1.0));
        assert_eq!(share_of(Some("cpu")), Share::default());
        assert_eq!(share(&[], None), Share::default());
    }

    #[test]
    fn the_machine_tells_its_cores_and_its_memory() {
        let told = capabilities(&[]);
        assert!(told.gpus.is_empty());
        assert!(told.cpu_cores.is_some_and(|cores| cores > 0));
        assert!(told.ram_total_bytes.is_some_and(|bytes| bytes > 1 << 20));
    }
}

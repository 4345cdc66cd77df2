//! The metrics by which Kubernetes' inference gateway chooses a replica.
//!
//! Source: kubernetes-sigs/gateway-api-inference-extension, "Model Server Protocol" (proposal 003).

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{Gauge, IntGauge, IntGaugeVec, Opts, Registry};

use super::{Builder, EngineState};

/// The model's state under vLLM's names, which are the gateway's defaults.
pub(super) fn registry(state: &EngineState) -> prometheus::Result<Registry> {
    let build = Builder(Registry::new());
    let gauge = |name: &str, help: &str, value: usize| -> prometheus::Result<()> {
        let gauge: IntGauge = build.gauge(name, help)?;
        gauge.set(value as i64);
        Ok(())
    };
    gauge("vllm:num_requests_waiting", "Requests that wait for the model", state.waiting)?;
    gauge("vllm:num_requests_running", "Requests that the model answers now", state.running)?;
    // Newer versions of the gateway read the first name, older ones the second.
    for name in ["vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"] {
        let usage = build.add(Gauge::new(name, "Share of the key/value cache in use, 0 to 1"))?;
        usage.set(state.cache_usage());
    }
    let cache = Opts::new("vllm:cache_config_info", "Size of the key/value cache");
    build
        .add(IntGaugeVec::new(cache, &["block_size", "num_gpu_blocks"]))?
        .with_label_values(&[state.block_len.to_string(), state.cache_blocks.to_string()])
        .set(1);
    let lora = Opts::new(
        "vllm:lora_requests_info",
        "Adapters that are loaded; the value is the time of this report",
    );
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    build
        .add(IntGaugeVec::new(lora, &["max_lora", "running_lora_adapters", "waiting_lora_adapters"]))?
        .with_label_values(&[state.most_adapters.to_string(), state.adapters.join(","), String::new()])
        .set(now as i64);
    Ok(build.0)
}

//! The project's ops on burn's older CPU backend, which runs their reference bodies.
#![allow(deprecated)] // burn retires ndarray in favour of flex; it stays as a comparison

use burn::backend::NdArray;

use crate::ops::causal::CausalOps;
use crate::ops::dense::DenseOps;
use crate::ops::fused::FusedOps;
use crate::ops::lora::LoraOps;
use crate::ops::paged::PagedOps;
use crate::ops::quantized::QuantizedOps;

impl QuantizedOps for NdArray {}
impl DenseOps for NdArray {}
impl LoraOps for NdArray {}
impl FusedOps for NdArray {}
impl PagedOps for NdArray {}
impl CausalOps for NdArray {}

//! The instruction sets of the machine, as far as kernels choose between them at run time.

#[cfg(target_arch = "x86_64")]
/// Whether the machine has AVX2, FMA and F16C.
pub(crate) fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
}

#[cfg(target_arch = "x86_64")]
/// Whether the machine has AVX-512 F, BW, VL and VNNI, and what [`has_avx2`] asks for.
pub(crate) fn has_avx512() -> bool {
    has_avx2()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
}

/// The instruction set that the CPU's kernels choose on this machine: `avx512vnni`, `avx2`, `neon`, or `scalar` where
/// there is none of them. The last bits of a result depend on it.
pub fn instruction_set() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    match (has_avx512(), has_avx2()) {
        (true, _) => return "avx512vnni",
        (false, true) => return "avx2",
        (false, false) => {}
    }
    // The compiler's own vectors.
    if cfg!(target_arch = "aarch64") { "neon" } else { "scalar" }
}

/// Compiles `$body::<FMA>` for machines with AVX2, FMA and F16C besides the baseline, and picks at run time.
macro_rules! for_the_machine {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $body:ident) => {
        $(#[$doc])*
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma,f16c")]
                fn with_avx2($($arg: $ty),*) $(-> $ret)? {
                    $body::<true>($($arg),*)
                }
                if $crate::backend::cpu::instructions::has_avx2() {
                    // SAFETY: the instructions exist.
                    return unsafe { with_avx2($($arg),*) };
                }
            }
            $body::<{ cfg!(target_arch = "aarch64") }>($($arg),*)
        }
    };
}
pub(crate) use for_the_machine;

/// `a · b + c`, in one rounding where the machine has the instruction.
#[inline(always)]
pub(crate) fn fma<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

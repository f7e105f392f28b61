//! Random numbers from the kernel, drawn at the edge only: logic is given its seeds.

/// Fills `bytes` with random ones.
///
/// # Panics
/// If the kernel has no random source: nothing that needs an identity can go on then.
pub fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the kernel has a random source since 3.17");
}

/// A random number of 64 bits.
#[must_use]
pub fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// A random number of 128 bits, as identities are made of.
#[must_use]
pub fn random_u128() -> u128 {
    let mut bytes = [0; 16];
    fill(&mut bytes);
    u128::from_le_bytes(bytes)
}

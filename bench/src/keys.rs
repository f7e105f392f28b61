//! Keys in a scattered order that repeats: a multiplication by an odd number permutes the numbers of 64 bits.

/// A 16-byte key for the pair with this number.
pub(crate) fn key(number: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    key[8..].copy_from_slice(&number.to_le_bytes());
    key
}

/// Numbers below a bound, in an order that looks random and costs two instructions.
pub(crate) struct Scatter {
    state: u64,
    below: u64,
}

impl Scatter {
    pub(crate) fn new(below: u64) -> Self {
        Self { state: 88_172_645_463_325_252, below }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let wide = u128::from(self.state) * u128::from(self.below);
        u64::try_from(wide >> 64).expect("the high half")
    }
}

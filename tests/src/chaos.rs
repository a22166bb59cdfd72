//! Random moments, from a seed that a failing test prints.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A small generator (xorshift); the same seed gives the same moments.
pub struct Chaos(u64);

impl Chaos {
    /// Seeded by the clock, or by `STREAM_TEST_SEED`; prints the seed, which a failing test then shows.
    pub fn new() -> Self {
        let given = std::env::var("STREAM_TEST_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let clock = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a clock past 1970")
            .as_nanos() as u64;
        let seed = given.unwrap_or(clock) | 1;
        println!("STREAM_TEST_SEED={seed}");
        Self::seeded(seed)
    }

    /// From this seed, whatever it is.
    pub fn seeded(seed: u64) -> Self {
        // Mixed (splitmix64), so that seeds 1, 2, 3 have nothing in common; a state of 0 would stay 0.
        let mixed = (seed.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ (seed >> 30))
            .wrapping_mul(0xbf58_476d_1ce4_e5b9);
        Self((mixed ^ (mixed >> 27)) | 1)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// Sleeps for a random while of at most `most`.
    pub fn sleep(&mut self, most: Duration) {
        std::thread::sleep(Duration::from_micros(self.below(most.as_micros() as u64)));
    }
}

impl Default for Chaos {
    fn default() -> Self {
        Self::new()
    }
}

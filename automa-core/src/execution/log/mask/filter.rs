//! Passing over text in which no secret begins.

use zeroize::Zeroizing;

/// A secret may begin only where the filter stops. It looks at three bytes in several: they tell how
/// far the nearest beginning of a pattern is that has them, and most text has none (the method of Wu
/// and Manber). Reading every byte with the machine takes ten times as long.
pub(super) struct Filter {
    /// How many bytes of each pattern are looked at.
    span: usize,
    /// For three bytes, by their hash: how far to go.
    shifts: Vec<u8>,
    /// How many bits of a hash are not used.
    unused: u32,
    /// A bit for each two bytes with which a pattern begins.
    first: Vec<u64>,
}

/// Bytes looked at together. A pattern has at least 4.
const BLOCK: usize = 3;
/// More bytes of a pattern would make longer leaps, but fill the table.
const SPAN_MAX: usize = 24;

impl Filter {
    pub(super) fn new(patterns: &[Zeroizing<Vec<u8>>]) -> Self {
        let shortest = patterns.iter().map(|pattern| pattern.len()).min().unwrap_or(SPAN_MAX);
        let span = shortest.clamp(BLOCK, SPAN_MAX);
        let farthest = span - BLOCK + 1;
        // Few hashes should mean a short leap only because of another's block.
        let bits = (8 * farthest * patterns.len()).ilog2().clamp(12, 20);
        let mut new = Self {
            span,
            shifts: vec![u8::try_from(farthest).unwrap_or(1); 1 << bits],
            unused: u32::BITS - bits,
            first: vec![0; 1024],
        };
        for pattern in patterns {
            let Some(begin) = pattern.get(..span) else { continue };
            for (at, block) in begin.windows(BLOCK).enumerate() {
                let hash = new.hash(block);
                let shift = u8::try_from(span - BLOCK - at).unwrap_or(0);
                new.shifts[hash] = new.shifts[hash].min(shift);
            }
            let (word, bit) = two(begin);
            new.first[word] |= bit;
        }
        new
    }

    /// How many bytes have to be there to tell that no pattern begins.
    pub(super) fn span(&self) -> usize {
        self.span
    }

    /// The first place from `at` on where a pattern may begin, so far as there are enough bytes to
    /// tell.
    pub(super) fn next(&self, bytes: &[u8], mut at: usize) -> usize {
        while let Some(begin) = bytes.get(at..at + self.span) {
            match self.shifts[self.hash(&begin[self.span - BLOCK..])] {
                0 => {
                    let (word, bit) = two(begin);
                    if self.first[word] & bit != 0 {
                        break;
                    }
                    at += 1;
                }
                shift => at += usize::from(shift),
            }
        }
        at
    }

    fn hash(&self, block: &[u8]) -> usize {
        let bits = block.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte));
        // Fibonacci hashing.
        (bits.wrapping_mul(0x9e37_79b1) >> self.unused) as usize
    }
}

/// Where the bit for the first two bytes is.
fn two(begin: &[u8]) -> (usize, u64) {
    let number = usize::from(begin[0]) << 8 | usize::from(begin[1]);
    (number / 64, 1 << (number % 64))
}

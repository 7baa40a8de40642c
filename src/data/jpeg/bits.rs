//! The entropy-coded data of a JPEG file, bit by bit.

/// Bytes of padding, all the same, that some cameras write behind the pixels.
pub(super) const PADDING: usize = 16;

#[derive(Debug, PartialEq)]
pub(super) enum Flaw {
    /// There is no end marker.
    Cut,
    /// At about this row of pixels.
    Damaged(usize),
    /// A header or a process that is not known here. Before the first scan the decoder says what is
    /// wrong, if anything.
    Unknown,
}

/// Length and symbol of the code that any 16 bits begin with; length 0 where there is none.
pub(super) struct Huffman(Vec<(u8, u8)>);

impl Huffman {
    pub(super) fn new(counts: &[u8], symbols: &[u8]) -> Option<Self> {
        let mut codes = vec![(0, 0); 1 << 16];
        let (mut start, mut symbols) = (0, symbols.iter());
        for (length, &count) in (1..).zip(counts) {
            for _ in 0..count {
                let next = start + (1 << (16 - length));
                codes.get_mut(start..next)?.fill((length, *symbols.next()?));
                start = next;
            }
        }
        Some(Self(codes))
    }
}

/// The bits of a stretch of data up to the next marker.
pub(super) struct Bits {
    bytes: Vec<u8>,
    /// In bits.
    at: usize,
}

impl Bits {
    /// Reads from `at` on, which it moves to the marker.
    pub(super) fn new(bytes: &[u8], at: &mut usize) -> Self {
        let mut unstuffed = Vec::new();
        let mut from = *at;
        loop {
            let rest = &bytes[from..];
            let plain = rest.iter().position(|&b| b == 0xFF).unwrap_or(rest.len());
            unstuffed.extend_from_slice(&rest[..plain]);
            from += plain;
            match bytes.get(from + 1) {
                Some(0) => {
                    unstuffed.push(0xFF);
                    from += 2;
                }
                // A marker may be preceded by any number of these.
                Some(0xFF) => from += 1,
                _ => break,
            }
        }
        *at = from;
        Self {
            bytes: unstuffed,
            at: 0,
        }
    }

    /// The next 16 bits, zeros behind the end.
    fn ahead(&self) -> usize {
        let from = self.at / 8;
        let byte = |i: usize| u32::from(self.bytes.get(from + i).copied().unwrap_or(0));
        let three = byte(0) << 16 | byte(1) << 8 | byte(2);
        (three >> (8 - self.at % 8) & 0xFFFF) as usize
    }

    fn skip(&mut self, count: usize) -> Result<(), Flaw> {
        self.at += count;
        match self.at <= 8 * self.bytes.len() {
            true => Ok(()),
            false => Err(Flaw::Damaged(0)),
        }
    }

    pub(super) fn take(&mut self, count: u32) -> Result<u32, Flaw> {
        let ahead = self.ahead() as u32;
        self.skip(count as usize)?;
        Ok(ahead >> (16 - count))
    }

    pub(super) fn symbol(&mut self, table: Option<&Huffman>) -> Result<u8, Flaw> {
        let (length, symbol) = table.ok_or(Flaw::Unknown)?.0[self.ahead()];
        match length {
            0 => Err(Flaw::Damaged(0)),
            _ => self.skip(length.into()).map(|()| symbol),
        }
    }

    /// A number of so many bits whose first tells the sign.
    pub(super) fn signed(&mut self, length: u8) -> Result<i32, Flaw> {
        if length > 15 {
            return Err(Flaw::Damaged(0));
        }
        let value = self.take(length.into())? as i32;
        let half = 1 << length >> 1;
        Ok(if value < half {
            value - 2 * half + 1
        } else {
            value
        })
    }

    pub(super) fn used_up(&self) -> bool {
        self.at >= 8 * self.bytes.len()
    }

    /// Whether no data are left but padding.
    pub(super) fn ends_here(&self) -> bool {
        let rest = &self.bytes[self.at.div_ceil(8).min(self.bytes.len())..];
        rest.len() <= PADDING && rest.iter().all(|&b| b == rest[0])
    }
}

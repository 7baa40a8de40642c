//! Whether a JPEG file is whole.
//!
//! Its decoder makes a picture of any bytes: what is missing it fills with grey, and what is damaged it
//! decodes as something else, without a word. Here the entropy-coded data are walked through as a
//! decoder does, down to the coefficients, and must use codes that exist, coefficients that pixels can
//! have, and as many bits as there are.
//!
//! Source: ITU-T T.81, annexes B, F and G.

mod bits;

use std::ops::RangeInclusive;

use bits::{Bits, Flaw, Huffman, PADDING};

/// Magnitude of a coefficient of 8-bit pixels, with room for encoders that overshoot on purpose.
const LARGEST: i32 = 1536;

/// Tells what is wrong with the pixels of a JPEG file, in words.
///
/// Damage that makes other valid data cannot be told; nor is what the decoder refuses or does not know.
///
/// What is no JPEG is not looked at.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    if !bytes.starts_with(&[0xFF, 0xD8]) {
        return Ok(());
    }
    let mut scans = 0;
    match walk(bytes, &mut scans) {
        Ok(()) => Ok(()),
        Err(Flaw::Unknown) if scans == 0 => Ok(()),
        Err(Flaw::Unknown) => Err(format!("the JPEG data is damaged, behind scan {scans}")),
        Err(Flaw::Cut) => Err("the JPEG data is cut short".into()),
        Err(Flaw::Damaged(row)) => Err(format!("the JPEG data is damaged, at row {row} or above")),
    }
}

/// Counts the scans that are whole.
fn walk(bytes: &[u8], scans: &mut usize) -> Result<(), Flaw> {
    let mut tables = Tables::default();
    let mut frame: Option<Frame> = None;
    let mut begun = false;
    let mut at = 2;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(skipped) = rest
            .windows(2)
            .position(|w| w[0] == 0xFF && w[1] != 0xFF && w[1] != 0)
        else {
            return Err(if begun { Flaw::Cut } else { Flaw::Unknown });
        };
        let marker = rest[skipped + 1];
        let strange = rest[..skipped].iter().filter(|&&byte| byte != 0xFF);
        if let (Some(frame), true) = (&frame, begun && strange.count() > PADDING) {
            return Err(Flaw::Damaged(frame.height));
        }
        at += skipped + 2;
        match marker {
            0xD9 => return Ok(()),
            0x01 | 0xD0..=0xD8 => continue,
            _ => {}
        }
        let length = bytes
            .get(at..at + 2)
            .map(|l| usize::from(l[0]) << 8 | usize::from(l[1]));
        let end = at + length.unwrap_or(0);
        let Some(segment) = bytes.get(at + 2..end) else {
            return Err(if begun { Flaw::Cut } else { Flaw::Unknown });
        };
        at = end;
        match marker {
            0xC0..=0xC2 => frame = Some(Frame::read(segment, marker == 0xC2).ok_or(Flaw::Unknown)?),
            0xC4 => tables.read_huffman(segment).ok_or(Flaw::Unknown)?,
            0xDB => tables.read_quantisation(segment).ok_or(Flaw::Unknown)?,
            0xDD => tables.restart = number(segment, 0).ok_or(Flaw::Unknown)?,
            0xDA => {
                let frame = frame.as_mut().ok_or(Flaw::Unknown)?;
                let scan = Scan::read(segment, frame).ok_or(Flaw::Unknown)?;
                begun = true;
                at = scan.walk(frame, &tables, bytes, at)?;
                *scans += 1;
            }
            // Lossless, hierarchical and arithmetic coding.
            0xC3 | 0xC5..=0xCF => return Err(Flaw::Unknown),
            _ => {}
        }
    }
}

/// The 16-bit number at a place of a segment.
fn number(segment: &[u8], at: usize) -> Option<usize> {
    let pair = segment.get(at..at + 2)?;
    Some(usize::from(pair[0]) << 8 | usize::from(pair[1]))
}

#[derive(Default)]
struct Tables {
    /// In the order of the coefficients in the file.
    quantisation: [Option<[i32; 64]>; 4],
    dc: [Option<Huffman>; 4],
    ac: [Option<Huffman>; 4],
    /// Units between restart markers; 0: none.
    restart: usize,
}

impl Tables {
    fn read_quantisation(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((&kind, rest)) = segment.split_first() {
            let width = if kind >> 4 == 0 { 1 } else { 2 };
            let (values, rest) = rest.split_at_checked(64 * width)?;
            let mut table = [0; 64];
            for (entry, raw) in table.iter_mut().zip(values.chunks_exact(width)) {
                *entry = raw.iter().fold(0, |so_far, &b| so_far << 8 | i32::from(b));
            }
            *self.quantisation.get_mut(usize::from(kind & 15))? = Some(table);
            segment = rest;
        }
        Some(())
    }

    fn read_huffman(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((&kind, rest)) = segment.split_first() {
            let (counts, rest) = rest.split_at_checked(16)?;
            let count = counts.iter().map(|&n| usize::from(n)).sum();
            let (symbols, rest) = rest.split_at_checked(count)?;
            let all = match kind >> 4 {
                0 => &mut self.dc,
                _ => &mut self.ac,
            };
            *all.get_mut(usize::from(kind & 15))? = Some(Huffman::new(counts, symbols)?);
            segment = rest;
        }
        Some(())
    }
}

struct Frame {
    progressive: bool,
    height: usize,
    /// Units of all components along the width and the height.
    units: [usize; 2],
    components: Vec<Component>,
}

struct Component {
    id: u8,
    /// Blocks of a unit along the width and the height.
    sampling: [usize; 2],
    quantisation: usize,
    /// Blocks of the component by itself.
    blocks: [usize; 2],
    /// For each block, the coefficients that are not zero so far; of progressive files alone.
    nonzero: Vec<u64>,
}

impl Frame {
    fn read(segment: &[u8], progressive: bool) -> Option<Self> {
        let (&[precision, ..], height) = (segment.first_chunk::<1>()?, number(segment, 1)?);
        let (width, count) = (number(segment, 3)?, usize::from(*segment.get(5)?));
        let listed = segment.get(6..6 + 3 * count)?;
        let sampling = |c: &[u8]| [c[1] >> 4, c[1] & 15].map(usize::from);
        let most = listed
            .chunks_exact(3)
            .map(sampling)
            .fold([0, 0], |m, s| [m[0].max(s[0]), m[1].max(s[1])]);
        // More than any decoder's limit is for the decoder to refuse.
        let known = precision == 8 && (1..1 << 31).contains(&(height * width * count));
        if !known || listed.chunks_exact(3).any(|c| sampling(c).contains(&0)) {
            return None;
        }
        let size = [width, height];
        let units = [0, 1].map(|axis| size[axis].div_ceil(8 * most[axis]));
        let component = |c: &[u8]| {
            let sampling = sampling(c);
            let stored = units[0] * sampling[0] * units[1] * sampling[1];
            Component {
                id: c[0],
                sampling,
                quantisation: usize::from(c[2]),
                blocks: [0, 1].map(|i| (size[i] * sampling[i]).div_ceil(most[i]).div_ceil(8)),
                nonzero: vec![0; if progressive { stored } else { 0 }],
            }
        };
        Some(Self {
            progressive,
            height,
            units,
            components: listed.chunks_exact(3).map(component).collect(),
        })
    }
}

/// What a part of the file adds to the coefficients.
struct Scan {
    /// The place in the frame, the DC and the AC table of each component.
    parts: Vec<(usize, usize, usize)>,
    band: RangeInclusive<usize>,
    /// Bits below those of this scan, and whether there were some above before.
    shift: u32,
    refines: bool,
}

/// Where the decoding of a stretch between restarts is.
#[derive(Default)]
struct Progress {
    dc: [i32; 4],
    /// Blocks to come whose band is zero.
    zero_blocks: usize,
}

impl Scan {
    fn read(segment: &[u8], frame: &Frame) -> Option<Self> {
        let count = usize::from(*segment.first()?);
        let listed = segment.get(1..1 + 2 * count)?;
        let &[first, last, bits] = segment.get(1 + 2 * count..)?.first_chunk()?;
        let part = |c: &[u8]| {
            let place = frame.components.iter().position(|known| known.id == c[0])?;
            Some((place, usize::from(c[1] >> 4), usize::from(c[1] & 15)))
        };
        let parts: Vec<_> = listed.chunks_exact(2).map(part).collect::<Option<_>>()?;
        let (band, bits) = match frame.progressive {
            true => (usize::from(first)..=usize::from(last), bits),
            false => (0..=63, 0),
        };
        let fits = (1..=4).contains(&count) && *band.end() < 64 && bits & 15 < 14;
        fits.then_some(Self {
            parts,
            band,
            shift: u32::from(bits & 15),
            refines: bits >> 4 > 0,
        })
    }

    /// Walks through the data from `at` on; returns where they end.
    fn walk(
        &self,
        frame: &mut Frame,
        tables: &Tables,
        bytes: &[u8],
        mut at: usize,
    ) -> Result<usize, Flaw> {
        // A component by itself has no blocks that only fill up units.
        let [across, down] = match self.parts[..] {
            [(place, ..)] => frame.components[place].blocks,
            _ => frame.units,
        };
        let rows = frame.height.div_ceil(down);
        let units = across * down;
        let stretch = if tables.restart == 0 {
            units
        } else {
            tables.restart
        };
        for (n, start) in (0..units).step_by(stretch).enumerate() {
            let damaged = |unit: usize| Flaw::Damaged((unit / across + 1) * rows);
            if n > 0 {
                let expected = [0xFF, 0xD0 + ((n - 1) % 8) as u8];
                if bytes.get(at..at + 2) != Some(&expected[..]) {
                    return Err(self.ended(bytes, at, damaged(start)));
                }
                at += 2;
            }
            let mut bits = Bits::new(bytes, &mut at);
            let mut progress = Progress::default();
            for unit in start..units.min(start + stretch) {
                self.unit(frame, tables, unit, &mut bits, &mut progress)
                    .map_err(|flaw| match flaw {
                        Flaw::Damaged(_) if bits.used_up() => self.ended(bytes, at, damaged(unit)),
                        Flaw::Damaged(_) => damaged(unit),
                        other => other,
                    })?;
            }
            if progress.zero_blocks > 0 || !bits.ends_here() {
                return Err(damaged(units.min(start + stretch) - 1));
            }
        }
        Ok(at)
    }

    /// What it is that the data end early: at the end of the file they are cut.
    fn ended(&self, bytes: &[u8], at: usize, damaged: Flaw) -> Flaw {
        match at + 1 >= bytes.len() {
            true => Flaw::Cut,
            false => damaged,
        }
    }

    fn unit(
        &self,
        frame: &mut Frame,
        tables: &Tables,
        unit: usize,
        bits: &mut Bits,
        progress: &mut Progress,
    ) -> Result<(), Flaw> {
        let (alone, across, progressive) =
            (self.parts.len() == 1, frame.units[0], frame.progressive);
        for &(place, dc, ac) in &self.parts {
            let component = &mut frame.components[place];
            let [h, v] = component.sampling;
            let table = tables.quantisation.get(component.quantisation);
            let factors = table.and_then(|t| t.as_ref()).ok_or(Flaw::Unknown)?;
            let [inner, corner, of_row] = match alone {
                true => [1, unit % component.blocks[0], unit / component.blocks[0]],
                false => [h * v, unit % across * h, unit / across * v],
            };
            for i in 0..inner {
                let block = (of_row + i / h) * across * h + corner + i % h;
                let mut coefficients = Coefficients {
                    scan: self,
                    factors,
                    bits,
                };
                let last = &mut progress.dc[place.min(3)];
                if *self.band.start() == 0 {
                    let table = tables.dc.get(dc).and_then(|t| t.as_ref());
                    coefficients.dc(table, last)?;
                }
                let table = tables.ac.get(ac).and_then(|t| t.as_ref());
                match (progressive, *self.band.end()) {
                    (_, 0) => {}
                    (false, _) => coefficients.ac(table, &mut 0, &mut 0, false)?,
                    (true, _) => {
                        let nonzero = component.nonzero.get_mut(block).ok_or(Flaw::Unknown)?;
                        match self.refines {
                            true => {
                                coefficients.refine(table, &mut progress.zero_blocks, nonzero)?
                            }
                            false => {
                                coefficients.ac(table, &mut progress.zero_blocks, nonzero, true)?;
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// The coefficients of one block, as they come.
struct Coefficients<'a> {
    scan: &'a Scan,
    factors: &'a [i32; 64],
    bits: &'a mut Bits,
}

impl Coefficients<'_> {
    fn dc(&mut self, table: Option<&Huffman>, last: &mut i32) -> Result<(), Flaw> {
        if self.scan.refines {
            return self.bits.take(1).map(drop);
        }
        let length = self.bits.symbol(table)?;
        *last += self.bits.signed(length)?;
        self.check(*last, 0)
    }

    /// A band that is new; runs of blocks without one are a matter of progressive files.
    fn ac(
        &mut self,
        table: Option<&Huffman>,
        zero_blocks: &mut usize,
        nonzero: &mut u64,
        runs: bool,
    ) -> Result<(), Flaw> {
        if *zero_blocks > 0 {
            *zero_blocks -= 1;
            return Ok(());
        }
        let (mut k, end) = (*self.scan.band.start().max(&1), *self.scan.band.end());
        while k <= end {
            let symbol = self.bits.symbol(table)?;
            let (run, length) = (usize::from(symbol >> 4), symbol & 15);
            match (length, run) {
                (0, 15) => k += 15,
                (0, 0) => return Ok(()),
                (0, _) if runs => {
                    *zero_blocks = (1 << run) - 1 + self.bits.take(run as u32)? as usize;
                    return Ok(());
                }
                (0, _) => return Err(Flaw::Damaged(0)),
                _ => {
                    k += run;
                    let value = self.bits.signed(length)?;
                    self.check(value, k)?;
                    *nonzero |= 1 << k.min(63);
                }
            }
            if k > end {
                return Err(Flaw::Damaged(0));
            }
            k += 1;
        }
        Ok(())
    }

    /// One more bit of a band.
    fn refine(
        &mut self,
        table: Option<&Huffman>,
        zero_blocks: &mut usize,
        nonzero: &mut u64,
    ) -> Result<(), Flaw> {
        let (mut k, end) = (*self.scan.band.start().max(&1), *self.scan.band.end());
        while *zero_blocks == 0 && k <= end {
            let symbol = self.bits.symbol(table)?;
            let (mut run, length) = (usize::from(symbol >> 4), symbol & 15);
            if length > 1 {
                return Err(Flaw::Damaged(0));
            }
            if length == 0 && run < 15 {
                *zero_blocks = (1 << run) + self.bits.take(run as u32)? as usize;
                break;
            }
            self.bits.take(u32::from(length))?;
            // Over so many zeros; what is not zero on the way gets its bit.
            while k <= end {
                match *nonzero >> k & 1 {
                    1 => drop(self.bits.take(1)?),
                    _ if run == 0 => break,
                    _ => run -= 1,
                }
                k += 1;
            }
            if length == 1 {
                if k > end {
                    return Err(Flaw::Damaged(0));
                }
                *nonzero |= 1 << k;
            }
            k += 1;
        }
        if *zero_blocks > 0 {
            let rest = (k..=end).filter(|k| *nonzero >> k & 1 == 1).count();
            (0..rest).try_for_each(|_| self.bits.take(1).map(drop))?;
            *zero_blocks -= 1;
        }
        Ok(())
    }

    /// Whether coefficient `k` of pixels can be so large.
    fn check(&self, value: i32, k: usize) -> Result<(), Flaw> {
        let factor = *self.factors.get(k).ok_or(Flaw::Damaged(0))?;
        let value = i64::from(value) << self.scan.shift;
        match (value * i64::from(factor)).abs() <= i64::from((LARGEST + factor) << self.scan.shift)
        {
            true => Ok(()),
            false => Err(Flaw::Damaged(0)),
        }
    }
}

//! The table, on the screen and in a file.

use std::fs::File;
use std::io::{BufWriter, Result, Write};

use deconvnet::conv::cpu::{Algorithm, Product};

/// One product at one size: seconds, and operations each second.
pub struct Row {
    pub size: String,
    pub product: Product,
    pub algorithm: Algorithm,
    pub least: f64,
    pub median: f64,
    pub rate: f64,
    /// Of the matrix product's rate.
    pub share: f64,
    pub ceiling: f64,
    /// How many times longer Burn's own convolution takes.
    pub burn: Option<f64>,
}

const HEAD: [&str; 9] = [
    "planes->maps, taps, images",
    "product",
    "by",
    "least ms",
    "median ms",
    "GFLOP/s",
    "matmul GFLOP/s",
    "share",
    "Burn's conv / ours",
];

impl Row {
    fn cells(&self) -> [String; 9] {
        let algorithm = match self.algorithm {
            Algorithm::Direct => "sums".into(),
            Algorithm::Fft([height, width]) => format!("FFT {height}x{width}"),
        };
        [
            self.size.clone(),
            format!("{:?}", self.product),
            algorithm,
            format!("{:.3}", self.least * 1e3),
            format!("{:.3}", self.median * 1e3),
            format!("{:.1}", self.rate / 1e9),
            format!("{:.1}", self.ceiling / 1e9),
            format!("{:.2}", self.share),
            self.burn.map_or("-".into(), |ratio| format!("{ratio:.1}")),
        ]
    }
}

pub struct Table {
    file: Option<BufWriter<File>>,
    csv: bool,
    /// The smallest ratio to Burn's convolution, with its row.
    worst: Option<(f64, String)>,
}

impl Table {
    pub fn new(out: Option<&std::path::Path>) -> Result<Self> {
        let file = out.map(File::create).transpose()?.map(BufWriter::new);
        let csv = out.is_some_and(|path| path.extension().is_some_and(|e| e == "csv"));
        let mut table = Self {
            file,
            csv,
            worst: None,
        };
        table.line(&HEAD.map(String::from))?;
        if !csv {
            table.write(&"|---".repeat(HEAD.len()), "|")?;
        }
        Ok(table)
    }

    pub fn add(&mut self, row: &Row) -> Result<()> {
        if let Some(ratio) = row.burn
            && self.worst.as_ref().is_none_or(|(worst, _)| ratio < *worst)
        {
            self.worst = Some((ratio, format!("{:?} at {}", row.product, row.size)));
        }
        self.line(&row.cells())
    }

    pub fn finish(mut self) -> Result<()> {
        if let Some((ratio, what)) = &self.worst {
            println!("least of the ratios to Burn's convolution: {ratio:.2}, {what}");
        }
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }

    fn line(&mut self, cells: &[String; 9]) -> Result<()> {
        let [
            size,
            product,
            algorithm,
            least,
            median,
            rate,
            ceiling,
            share,
            burn,
        ] = cells;
        println!(
            "{size:38} {product:15} {algorithm:12} {least:>9} {median:>9} {rate:>8} {ceiling:>14} \
             {share:>6} {burn:>18}"
        );
        match self.csv {
            true => self.write(&format!("\"{size}\",{}", cells[1..].join(",")), ""),
            false => self.write(&format!("| {}", cells.join(" | ")), " |"),
        }
    }

    fn write(&mut self, line: &str, end: &str) -> Result<()> {
        match &mut self.file {
            Some(file) => writeln!(file, "{line}{end}"),
            None => Ok(()),
        }
    }
}

//! `convnet strongest`: what makes each map strongest over a folder, and the way back from there.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::{Prepared, Ready, Source, file_stem};
use crate::arrays::{self, Array, Bundle};
use crate::convnet::{Field, Keep, Layer, Strongest, Unit, Walk, Winner, signals, unravel};
use crate::data::{Image, folder, resize};
use crate::error::{Error, Result};
use crate::files;
use crate::picture::{self, MosaicOptions, Tile};
use crate::report::{Cell, Format, Page, Results, Table};
use crate::task::{Callback, Event};

/// How often an interrupted pass loses at most.
const SAVED_EVERY: Duration = Duration::from_secs(20);
/// Units that go back together.
const TOGETHER: usize = 24;
/// The longest side of a patch in a picture, in pixels.
const PATCH: usize = 96;
/// What the pass has seen so far.
const PROGRESS: &str = "strongest.json";
const PAGE: &str = "strongest.html";

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The model.
    pub source: Source,
    /// A folder of pictures.
    pub images: PathBuf,
    /// Layers by name; all rectifiers and the output, if none is given.
    pub layers: Vec<String>,
    /// Maps of each layer to draw, spread evenly over those that are ever positive.
    pub maps: usize,
    /// Places of each map to keep.
    pub places: usize,
    /// Of one image.
    pub each: usize,
    /// Images that go through the model together.
    pub batch: usize,
    /// How signals go back.
    pub walk: Walk,
    /// Folder for pictures, arrays and tables.
    pub out: PathBuf,
    /// Whether results in it may be replaced.
    pub overwrite: bool,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The model and how pictures were prepared.
    #[serde(flatten)]
    pub prepared: Prepared,
    /// How signals went back.
    pub walk: Walk,
    /// Pictures looked at.
    pub images: usize,
    /// Pictures that could not be read, each with the reason.
    pub skipped: Vec<String>,
    /// The strongest places of every map.
    pub layers: Vec<LayerFound>,
    /// Whether it was asked to stop before the end; the same command goes on.
    pub interrupted: bool,
    /// The folder with the results.
    pub out: PathBuf,
}

/// The strongest places of the maps of a layer.
#[derive(Clone, Debug, Serialize)]
pub struct LayerFound {
    /// The layer.
    pub layer: String,
    /// The pixels that a unit sees.
    pub receptive_field: [usize; 2],
    /// For each map its strongest places, strongest first.
    pub maps: Vec<Vec<Place>>,
}

/// A unit that a map was strong at.
#[derive(Clone, Debug, Serialize)]
pub struct Place {
    /// The picture.
    pub image: PathBuf,
    /// Row and column of the unit.
    pub unit: [usize; 2],
    /// Its activation.
    pub value: f32,
}

/// What an interrupted pass goes on from.
#[derive(Serialize, Deserialize)]
struct Progress {
    /// What must be the same to go on.
    of: String,
    /// Pictures looked at, from the first.
    done: usize,
    skipped: Vec<String>,
    layers: Vec<Strongest>,
}

/// A layer that is looked at.
struct Looked {
    layer: Layer,
    /// Rows and columns of its maps.
    size: [usize; 2],
    field: Field,
}

/// Passes once over all pictures, keeps the strongest places of each map, and takes them back to the
/// pixels: for each layer a picture, arrays, and for all a table and a page.
///
/// A pass that was interrupted goes on where it stopped if called again with the same options.
///
/// # Errors
/// [`Error::Config`] where a layer does not exist, [`Error::Input`] where no picture can be read,
/// [`Error::Exists`] where results would be replaced.
pub fn run(
    options: &Options,
    device: &Device,
    callback: &mut dyn Callback<Event>,
) -> Result<Report> {
    let paths = folder::list(&options.images)?;
    let ready = options.source.open(device)?;
    let looked = layers(&ready, &options.layers)?;
    let mut names = vec![PAGE.to_string()];
    for one in &looked {
        let stem = file_stem(&one.layer.name);
        names.extend([format!("{stem}.png"), format!("{stem}.npz")]);
    }
    let results = Results::claim(&options.out, &names, options.overwrite)?;
    let mut progress = start(options, &ready, &looked, &paths)?;
    let finished = pass(options, &ready, &looked, &paths, &mut progress, callback)?;
    let mut report = Report {
        prepared: options.source.prepared(&ready),
        walk: options.walk,
        images: progress.done - progress.skipped.len(),
        skipped: progress.skipped.clone(),
        layers: found(&looked, &progress, &paths),
        interrupted: !finished,
        out: options.out.clone(),
    };
    if report.images == 0 && finished {
        return Err(Error::Input(format!(
            "no picture in {} can be read: {}",
            options.images.display(),
            progress.skipped.join("; ")
        )));
    }
    if finished {
        report.interrupted = !draw(
            options, &ready, &looked, &paths, &progress, &results, callback,
        )?;
        results.table(&report.table(), &report)?;
    }
    if !report.interrupted {
        let _ = fs::remove_file(options.out.join(PROGRESS));
    }
    Ok(report)
}

/// The layers by name, or all rectifiers and the output.
fn layers(ready: &Ready, names: &[String]) -> Result<Vec<Looked>> {
    let net = &ready.net;
    let mut layers = match names {
        [] => {
            let all = net.layers().iter();
            let wanted = all.filter(|layer| {
                let maker = net.maker(layer.value);
                maker.is_some_and(|step| step.operator.is_rectifier())
                    || layer.value == net.logits()
            });
            wanted.cloned().collect()
        }
        names => names
            .iter()
            .map(|name| net.layer(name).cloned())
            .collect::<Result<Vec<_>>>()?,
    };
    layers.dedup_by_key(|layer| layer.value);
    let looked = layers.into_iter().map(|layer| {
        let size = match net.shape(layer.value)[..] {
            [_, _, height, width] => [height, width],
            [_, _] => [1, 1],
            ref other => {
                return Err(Error::Config(format!(
                    "`{}` has the shape {other:?} and no maps to look at",
                    layer.name
                )));
            }
        };
        let field = net.field(layer.value);
        Ok(Looked { layer, size, field })
    });
    looked.collect()
}

/// What an earlier pass of the same kind left, or nothing seen yet.
fn start(
    options: &Options,
    ready: &Ready,
    looked: &[Looked],
    paths: &[PathBuf],
) -> Result<Progress> {
    let model =
        fs::read(&options.source.model).map_err(Error::io("read", &options.source.model))?;
    let values: Vec<usize> = looked.iter().map(|one| one.layer.value).collect();
    let mut names = crc32fast::Hasher::new();
    for path in paths {
        names.update(path.as_os_str().as_encoded_bytes());
        names.update(&[0]);
    }
    let of = format!(
        "model {:08x}, pictures {} {:08x}, {:?}, layers {values:?}, places {} {}",
        crc32fast::hash(&model),
        paths.len(),
        names.finalize(),
        ready.preprocess,
        options.places,
        options.each
    );
    let file = options.out.join(PROGRESS);
    let earlier = fs::read(&file).ok();
    let earlier = earlier.and_then(|bytes| serde_json::from_slice::<Progress>(&bytes).ok());
    if let Some(progress) = earlier.filter(|progress| progress.of == of) {
        return Ok(progress);
    }
    let fresh = looked.iter().map(|one| {
        let maps = ready.net.shape(one.layer.value)[1];
        let apart = [0, 1].map(|k| match one.field.stride[k] {
            0 => 1,
            stride => (one.field.size[k] / (2 * stride)).max(1),
        });
        let keep = Keep {
            places: options.places,
            each: options.each,
            apart,
        };
        Strongest::new(maps, keep)
    });
    Ok(Progress {
        of,
        done: 0,
        skipped: Vec::new(),
        layers: fresh.collect(),
    })
}

/// Looks at the pictures that were not looked at yet. Whether it came to the end.
fn pass(
    options: &Options,
    ready: &Ready,
    looked: &[Looked],
    paths: &[PathBuf],
    progress: &mut Progress,
    callback: &mut dyn Callback<Event>,
) -> Result<bool> {
    let save = |progress: &Progress| {
        let bytes = serde_json::to_vec(progress)
            .map_err(|error| Error::Numeric(format!("cannot write the progress: {error}")))?;
        files::replace(&options.out.join(PROGRESS), false, |file| {
            file.write_all(&bytes)
        })
    };
    let mut saved = Instant::now();
    while progress.done < paths.len() {
        let end = paths.len().min(progress.done + options.batch.max(1));
        let (mut numbers, mut pictures) = (Vec::new(), Vec::new());
        for number in progress.done..end {
            match ready.picture(&paths[number]) {
                Ok(picture) => {
                    numbers.push(number);
                    pictures.push(picture);
                }
                Err(error) => progress.skipped.push(error.to_string()),
            }
        }
        if !pictures.is_empty() {
            ready.net.run(ready.batch(&pictures), |value, map| {
                for (one, strongest) in looked.iter().zip(&mut progress.layers) {
                    if one.layer.value != value {
                        continue;
                    }
                    let activations = map.read()?;
                    let each = activations.len() / numbers.len();
                    for (&number, activations) in numbers.iter().zip(activations.chunks_exact(each))
                    {
                        strongest.look(number, activations, one.size);
                    }
                }
                Ok(())
            })?;
        }
        progress.done = end;
        callback.event(Event::Item {
            name: "looking at pictures".into(),
            done: end,
            of: paths.len(),
        });
        if callback.interrupted() {
            save(progress)?;
            return Ok(false);
        }
        if saved.elapsed() > SAVED_EVERY {
            save(progress)?;
            saved = Instant::now();
        }
    }
    save(progress)?;
    Ok(true)
}

fn found(looked: &[Looked], progress: &Progress, paths: &[PathBuf]) -> Vec<LayerFound> {
    let layers = looked.iter().zip(&progress.layers);
    let place = |winner: &Winner, columns: usize| Place {
        image: paths[winner.image].clone(),
        unit: [winner.place / columns, winner.place % columns],
        value: winner.value,
    };
    let layers = layers.map(|(one, strongest)| LayerFound {
        layer: one.layer.name.clone(),
        receptive_field: one.field.size,
        maps: strongest
            .maps()
            .iter()
            .map(|winners| {
                winners
                    .iter()
                    .map(|winner| place(winner, one.size[1]))
                    .collect()
            })
            .collect(),
    });
    layers.collect()
}

/// So many maps, spread evenly over those that are ever positive.
fn chosen(strongest: &Strongest, count: usize) -> Vec<usize> {
    let alive = |winners: &Vec<Winner>| winners.first().is_some_and(|first| first.value > 0.0);
    let maps = strongest.maps().iter().enumerate();
    let alive: Vec<usize> = maps
        .filter(|(_, winners)| alive(winners))
        .map(|(map, _)| map)
        .collect();
    let count = count.min(alive.len());
    (0..count).map(|k| alive[k * alive.len() / count]).collect()
}

/// A patch that a unit sees, and the projection into it.
type Pair = [Image; 2];

/// Projects the winners of the maps that are drawn, one picture after the other, and draws them. Whether
/// it came to the end.
fn draw(
    options: &Options,
    ready: &Ready,
    looked: &[Looked],
    paths: &[PathBuf],
    progress: &Progress,
    results: &Results,
    callback: &mut dyn Callback<Event>,
) -> Result<bool> {
    // By picture, so that each goes through the model once: layer, map, rank.
    let mut by_image: BTreeMap<usize, Vec<(usize, usize, usize)>> = BTreeMap::new();
    let maps: Vec<Vec<usize>> = progress
        .layers
        .iter()
        .map(|strongest| chosen(strongest, options.maps))
        .collect();
    for (layer, strongest) in progress.layers.iter().enumerate() {
        for &map in &maps[layer] {
            for (rank, winner) in strongest.maps()[map].iter().enumerate() {
                by_image
                    .entry(winner.image)
                    .or_default()
                    .push((layer, map, rank));
            }
        }
    }
    let mut pairs: BTreeMap<(usize, usize, usize), Pair> = BTreeMap::new();
    let count = by_image.len();
    for (done, (image, wanted)) in by_image.into_iter().enumerate() {
        project(
            options,
            ready,
            looked,
            progress,
            &paths[image],
            &wanted,
            &mut pairs,
        )?;
        callback.event(Event::Item {
            name: "back to the pixels".into(),
            done: done + 1,
            of: count,
        });
        if callback.interrupted() {
            return Ok(false);
        }
    }
    let mut page = Page::new(&format!(
        "What the maps of {} see",
        options.source.model.display()
    ));
    page.words(&format!(
        "For each map its {} strongest places in {} pictures: projections by the rule {} beside the patches \
         that the units see.",
        options.places,
        progress.done - progress.skipped.len(),
        options.walk.rule
    ));
    for (layer, one) in looked.iter().enumerate() {
        let mut tiles = Vec::new();
        let mut bundle = Bundle::default();
        for &map in &maps[layer] {
            let ranks = 0..progress.layers[layer].maps()[map].len();
            let found: Vec<&Pair> = ranks
                .filter_map(|rank| pairs.get(&(layer, map, rank)))
                .collect();
            let caption = match one.size {
                [1, 1] => ready.class(map),
                _ => format!("map {map}"),
            };
            tiles.push(Tile::new(sheet(&found, one.field.size), caption));
            for (name, k) in [("patches", 0), ("projections", 1)] {
                let images: Vec<&Image> = found.iter().map(|pair| &pair[k]).collect();
                bundle
                    .arrays
                    .insert(format!("map{map:05}.{name}"), stacked(&images)?);
            }
        }
        let stem = file_stem(&one.layer.name);
        if tiles.is_empty() {
            continue;
        }
        let title = format!("{}: projections, and what the units see", one.layer.name);
        let mosaic = MosaicOptions {
            title,
            zoom: Some(1),
            ..MosaicOptions::default()
        };
        let picture = picture::mosaic(&tiles, &mosaic)?;
        results.picture(format!("{stem}.png"), &picture)?;
        arrays::write(results.path(format!("{stem}.npz"))?, &bundle, true)?;
        page.section(&one.layer.name);
        let figures = tiles.iter().map(|tile| (&tile.image, tile.caption.clone()));
        page.figures(true, figures)?;
    }
    results.page(PAGE, &page)?;
    Ok(true)
}

/// Takes the wanted units of one picture back, and cuts out what each sees.
fn project(
    options: &Options,
    ready: &Ready,
    looked: &[Looked],
    progress: &Progress,
    path: &Path,
    wanted: &[(usize, usize, usize)],
    pairs: &mut BTreeMap<(usize, usize, usize), Pair>,
) -> Result<()> {
    let picture = ready.picture(path)?;
    let tape = ready.net.record(ready.batch([&picture]))?;
    for (layer, one) in looked.iter().enumerate() {
        let of_layer: Vec<_> = wanted.iter().filter(|wanted| wanted.0 == layer).collect();
        let value = one.layer.value;
        let shape = &ready.net.shape(value)[1..];
        for together in of_layer.chunks(TOGETHER) {
            let starts: Vec<(Vec<usize>, f32)> = together
                .iter()
                .map(|&&(_, map, rank)| {
                    let winner = progress.layers[layer].maps()[map][rank];
                    let mut place = vec![map];
                    place.extend(unravel(winner.place, &shape[1..]));
                    (place, winner.value)
                })
                .collect();
            let rows = vec![0; starts.len()];
            let signal = signals(&starts, shape, tape.map(value));
            let back = ready
                .net
                .project(&tape, value, signal, &rows, &options.walk)
                .read()?;
            let pixels = back.len() / starts.len();
            for ((key, (place, _)), back) in
                together.iter().zip(&starts).zip(back.chunks_exact(pixels))
            {
                let projection = ready.preprocess.picture(back);
                let seen = ready.net.patch(value, place);
                let patch = |image: &Image| {
                    let size = seen.map(|(first, last)| last - first + 1);
                    resize::crop(image, [seen[0].0, seen[1].0], size)
                };
                pairs.insert(**key, [patch(&picture), patch(&projection)]);
            }
        }
    }
    Ok(())
}

/// Images of different sizes in one array, zeros where a border cut a patch off.
fn stacked(images: &[&Image]) -> Result<Array> {
    let channels = images.first().map_or(0, |image| image.channels);
    let height = images.iter().map(|image| image.height).max().unwrap_or(0);
    let width = images.iter().map(|image| image.width).max().unwrap_or(0);
    let mut values = vec![0.0; images.len() * channels * height * width];
    for (k, image) in images.iter().enumerate() {
        for c in 0..channels {
            for (row, line) in image.plane(c).chunks_exact(image.width).enumerate() {
                let at = ((k * channels + c) * height + row) * width;
                values[at..at + image.width].copy_from_slice(line);
            }
        }
    }
    Array::new(vec![images.len(), channels, height, width], values)
}

/// Projections to the left, patches to the right, three in a row.
fn sheet(pairs: &[&Pair], field: [usize; 2]) -> Image {
    const ROW: usize = 3;
    const GAP: usize = 2;
    // Between projections and patches, and to the next map.
    const MARGIN: usize = 8;
    let longest = field[0].max(field[1]).max(1);
    let shrink = (PATCH as f64 / longest as f64).min(1.0);
    let cell = field.map(|side| ((side as f64 * shrink).round() as usize).max(1));
    let rows = pairs.len().div_ceil(ROW).max(1);
    let step = cell.map(|side| side + GAP);
    let half = ROW * step[1] + MARGIN;
    let mut sheet = Image::zeros(3, rows * step[0] - GAP, 2 * half + MARGIN);
    sheet.values.fill(1.0);
    for (k, [patch, projection]) in pairs.iter().enumerate() {
        let shown = picture::symmetric(projection, Some(picture::limit([projection])));
        for (side, image) in [(0, &shown), (half, patch)] {
            let fitted =
                |n: usize, most: usize| ((n as f64 * shrink).round() as usize).clamp(1, most);
            let [height, width] = [fitted(image.height, cell[0]), fitted(image.width, cell[1])];
            let small = resize::resize(image, height, width);
            let corner = [k / ROW * step[0], side + k % ROW * step[1]];
            paste(&mut sheet, &small, corner);
        }
    }
    sheet
}

fn paste(sheet: &mut Image, image: &Image, [top, left]: [usize; 2]) {
    let width = sheet.width;
    for c in 0..3 {
        let plane = image.plane(c.min(image.channels - 1)).to_vec();
        let to = sheet.plane_mut(c);
        for (row, line) in plane.chunks_exact(image.width).enumerate() {
            let start = (top + row) * width + left;
            to[start..start + line.len()].copy_from_slice(line);
        }
    }
}

impl Report {
    fn table(&self) -> Table {
        let mut rows = Vec::new();
        for found in &self.layers {
            for (map, places) in found.maps.iter().enumerate() {
                rows.extend(
                    places
                        .iter()
                        .enumerate()
                        .map(|(rank, place)| (found, map, rank, place)),
                );
            }
        }
        Table::of(rows.len())
            .words("layer", |k| Cell::text(&rows[k].0.layer))
            .numbers("map", |k| Cell::Count(rows[k].1))
            .numbers("rank", |k| Cell::Count(rows[k].2 + 1))
            .words("image", |k| Cell::text(rows[k].3.image.display()))
            .words("unit", |k| Cell::text(Unit::At(rows[k].3.unit.to_vec())))
            .numbers("activation", |k| {
                Cell::number(f64::from(rows[k].3.value), Format::Significant(4))
            })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.interrupted {
            return writeln!(
                f,
                "interrupted after {} pictures: the same command goes on from here",
                self.images
            );
        }
        let layer = |k: usize| &self.layers[k];
        let dead = |k: usize| {
            let alive = |places: &Vec<Place>| places.first().is_some_and(|place| place.value > 0.0);
            layer(k).maps.iter().filter(|places| !alive(places)).count()
        };
        let table = Table::of(self.layers.len())
            .words("layer", |k| Cell::text(&layer(k).layer))
            .numbers("maps", |k| Cell::Count(layer(k).maps.len()))
            .numbers("never positive", |k| Cell::Count(dead(k)))
            .words("sees", |k| {
                Cell::text(format!(
                    "{} x {}",
                    layer(k).receptive_field[0],
                    layer(k).receptive_field[1]
                ))
            });
        write!(f, "{table}")?;
        for reason in &self.skipped {
            writeln!(f, "left out: {reason}")?;
        }
        writeln!(
            f,
            "{} pictures by the rule {}: mosaics, arrays, table.csv and {PAGE} in {}",
            self.images,
            self.walk.rule,
            self.out.display()
        )
    }
}

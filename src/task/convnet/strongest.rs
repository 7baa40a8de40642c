//! `convnet strongest`: what makes each map strongest over a folder, and the way back from there.

mod mosaic;
mod search;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;

use burn::tensor::Device;
use mosaic::draw;
use search::{Pass, Seen};
use serde::Serialize;

use super::{Prepared, Ready, Source, file_stem};
use crate::convnet::{Field, Layer, Unit, Walk, Winner};
use crate::error::{Error, Result};
use crate::files::{make_folder, refuse_existing};
use crate::group::Group;
use crate::report::{Cell, Format, Results, Table, record};
pub use crate::task::shard::Shard;
use crate::task::{Callback, Event};

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
    /// The processes that share the pictures.
    pub group: Group,
    /// The share of the pictures, where several calls write to one folder: it is only looked at.
    pub shard: Option<Shard>,
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
    /// The shard, where it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// Pictures looked at.
    pub images: usize,
    /// Pictures that could not be read, each with the reason.
    pub skipped: Vec<String>,
    /// The strongest places of every map.
    pub layers: Vec<LayerFound>,
    /// Whether it was asked to stop before the end; the same command goes on.
    pub interrupted: bool,
    /// The folder with the results.
    #[serde(serialize_with = "crate::files::lossily")]
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
    #[serde(serialize_with = "crate::files::lossily")]
    pub image: PathBuf,
    /// Row and column of the unit.
    pub unit: [usize; 2],
    /// Its activation.
    pub value: f32,
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
/// Processes of a group look at a share of the pictures each; the first makes one of what all have kept, and draws
/// it: the files are those of one process. A pass that was interrupted goes on where it stopped if called again with
/// the same options, by any number of processes. A shard only looks, and leaves what it kept in the folder; a call
/// without one takes in what shards have left there, and looks at what none of them has looked at.
///
/// # Errors
/// [`Error::Config`] where a layer does not exist, [`Error::Input`] where no picture can be read or processes see
/// other pictures, [`Error::Exists`] where results would be replaced.
pub fn run(
    options: &Options,
    device: &Device,
    callback: &mut dyn Callback<Event>,
) -> Result<Report> {
    let group = &options.group;
    let (paths, ready, looked) = group.agree(open(options, device, callback))?;
    let pass = Pass::new(options, &ready, &looked, &paths);
    let report = |seen: &Seen, interrupted: bool| Report {
        prepared: options.source.prepared(&ready),
        walk: options.walk,
        shard: options.shard,
        images: seen.count(),
        skipped: seen.skipped.values().cloned().collect(),
        layers: found(&looked, seen, &paths),
        interrupted,
        out: options.out.clone(),
    };
    if let Some(shard) = options.shard {
        refuse_existing(&options.out.join(record("")), options.overwrite)?;
        make_folder(&options.out)?;
        let before = pass.earlier(callback).pictures;
        let mut mine = pass.of_shard(shard);
        let finished = pass.look(Some(shard), &before, &mut mine, Some(shard), callback)?;
        return Ok(report(&mine, !finished));
    }
    same_on_all(group, pass.of())?;
    let (mut mine, mut results) = (pass.nothing(), None);
    let before = group.lead(|| {
        mine = pass.earlier(callback);
        // What the same command has drawn before it was interrupted is drawn again.
        let overwrite = options.overwrite || !mine.is_empty();
        results = Some(Results::claim(&options.out, &names(&looked), overwrite)?);
        pass.fold(&mine)?;
        Ok(mine.pictures.clone())
    })?;
    let share = Shard::of_member(group);
    let kept = share.filter(|_| !group.leads());
    let finished = pass.look(share, &before, &mut mine, kept, callback);
    let finished = !group.any(!group.agree(finished)?);
    // The others have left in the folder what they kept.
    let all = match group.leads() && !group.is_alone() {
        true => pass.kept(&mut ()),
        false => mine,
    };
    let mut report = report(&all, !finished);
    let drawn = match results {
        Some(_) if finished && report.images == 0 => Err(Error::Input(format!(
            "no picture in {} can be read: {}",
            options.images.display(),
            report.skipped.join("; ")
        ))),
        Some(results) if finished => {
            let drawn = draw(options, &ready, &looked, &paths, &all, &results, callback);
            drawn.and_then(|drawn| {
                report.interrupted = !drawn;
                results.table(&report.table(), &report)?;
                if drawn {
                    pass.finish();
                }
                Ok(drawn)
            })
        }
        _ => Ok(true),
    };
    let drawn = group.agree(drawn)?;
    report.interrupted |= group.any(!drawn);
    Ok(report)
}

/// The pictures, the model, and the layers that are looked at.
fn open(
    options: &Options,
    device: &Device,
    callback: &mut dyn Callback<Event>,
) -> Result<(Vec<PathBuf>, Ready, Vec<Looked>)> {
    let paths = options.source.pictures(&options.images, callback)?;
    let ready = options.source.open(device)?;
    let looked = layers(&ready, &options.layers)?;
    Ok((paths, ready, looked))
}

/// The files of the results beside the table.
fn names(looked: &[Looked]) -> Vec<String> {
    let stems = looked.iter().map(|one| file_stem(&one.layer.name));
    let files = stems.flat_map(|stem| [format!("{stem}.png"), format!("{stem}.npz")]);
    files.chain([PAGE.to_string()]).collect()
}

/// Whether all members look at the same.
fn same_on_all(group: &Group, of: &str) -> Result<()> {
    let first = group.lead(|| Ok(of.to_owned()))?;
    group.agree(match first == of {
        true => Ok(()),
        false => Err(Error::Input(format!(
            "the processes see another model or other pictures: one {first}, this one {of}; give all of them the \
             same files, at the same paths"
        ))),
    })
}

/// The layers by name, or all rectifiers and the output.
fn layers(ready: &Ready, names: &[String]) -> Result<Vec<Looked>> {
    let net = &ready.net;
    let mut layers = ready.layers_or(names, || {
        let output = net.layers().iter().filter(|layer| layer.value == net.top());
        let all = ready.rectifiers().chain(output);
        Ok(all.filter(|layer| ready.maps(layer).is_ok()).collect())
    })?;
    layers.dedup_by_key(|layer| layer.value);
    let looked = layers.into_iter().map(|layer| {
        let [_, height, width] = ready.maps(&layer)?;
        let no_image = || Error::Config("the model takes no images".into());
        Ok(Looked {
            size: [height, width],
            field: net.field(layer.value).ok_or_else(no_image)?,
            layer,
        })
    });
    looked.collect()
}

fn found(looked: &[Looked], seen: &Seen, paths: &[PathBuf]) -> Vec<LayerFound> {
    let layers = looked.iter().zip(&seen.layers);
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
        if let Some(shard) = self.shard {
            return writeln!(
                f,
                "{} pictures of shard {shard}: once all shards are done, the same command without one draws what they \
                 have found in {}",
                self.images,
                self.out.display()
            );
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

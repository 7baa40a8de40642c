//! Images that are too large to be coded as a whole: in tiles, with all that grows with the image in files.

mod coding;
mod folder;
mod small;
mod source;
#[cfg(test)]
pub(super) mod tests;

use std::fs;
use std::path::Path;

use burn::tensor::Device;

use self::coding::Coding;
use super::files::{Job, Plan, earlier_tile, plan, work};
use super::report::{Failure, Report};
use super::{Coder, Options};
use crate::backend::is_cpu;
use crate::data::{Rows, array_file, survey};
use crate::error::{Error, Result};
use crate::model::Boundary;
use crate::run::{Free, Run};
use crate::solve::{SolverName, Tiles};
use crate::task::{Callback, Event, ends_all};

/// Sides of tiles, of which the first is taken that fits into a part of the memory.
const SIDES: [usize; 4] = [1024, 512, 256, 128];
const PART: u64 = 2;

/// The tiles that images are coded in, where they are: those asked for, or, of a single picture that the memory does
/// not hold, those that it does, or those of an earlier call.
fn tile(options: &Options, coder: &Coder) -> Result<Option<usize>> {
    let network = coder.encoder.network.part(0..coder.state.learnt_layers());
    if let Some(tile) = options.tile {
        return match complaint(options, coder) {
            Some(complaint) => Err(Error::Config(format!(
                "images are not coded in tiles {complaint}"
            ))),
            None => Tiles::check_size(&network, tile).map(|()| Some(tile)),
        };
    }
    let automatic = !options.force
        && options.images.is_file()
        && array_file(&options.images).is_none()
        && complaint(options, coder).is_none();
    let rows = automatic
        .then(|| Rows::open(&options.images).ok())
        .flatten();
    let Some([height, width]) = rows.map(|rows| rows.size()) else {
        return Ok(None);
    };
    let max_side = coder.state.config.data.max_side;
    if max_side.is_some_and(|most| height.max(width) > most) {
        return Ok(None);
    }
    // The free memory is another one at each call, and other tiles are another set of results.
    if let Some(tile) = earlier_tile(options) {
        return Tiles::check_size(&network, tile).map(|()| Some(tile));
    }
    let free = Free::here(is_cpu(coder.device), &options.out).memory;
    let takes = |size: [usize; 2]| {
        let channels = coder.state.config.data.planes();
        work(coder, true)
            .estimate(&[[channels, size[0], size[1]]])
            .memory
    };
    Ok(free
        .filter(|&free| takes([height, width]) > free)
        .and_then(|free| {
            SIDES
                .into_iter()
                .filter(|&side| Tiles::check_size(&network, side).is_ok())
                .find(|&side| takes([side; 2]) <= free / PART)
        }))
}

/// What speaks against tiles, whatever the images.
fn complaint(options: &Options, coder: &Coder) -> Option<&'static str> {
    let state = coder.state;
    let stages = &coder.encoder.stages;
    let several = stages.len() > 1;
    Some(
        if coder.joint || stages.iter().any(|stage| stage.layers.len() > 1) {
            "jointly or in the adaptive form; code layer by layer"
        } else if stages.iter().any(|stage| !stage.objective.is_convex()) {
            "with p < 1, which has no certificate that tiles agree"
        } else if several && state.config.train.boundary != Boundary::Valid {
            "in several layers of another boundary than valid"
        } else if options.anomaly {
            "with anomaly scores"
        } else if options.mask.is_some() {
            "with missing pixels"
        } else if options.shard.is_some() {
            "in shards; let processes work together instead"
        } else if options
            .solver
            .is_some_and(|name| name != SolverName::CoordinateDescent)
        {
            "by another solver than descent"
        } else {
            return None;
        },
    )
}

/// Codes all images in tiles, on the processor, where that is asked for or needed; see [`super::run`].
///
/// ```text
/// OUT/SUBFOLDER/NAME.png                  the image, its reconstruction from each layer and the error, scaled down
/// OUT/SUBFOLDER/NAME-reconstruction.png   that of the last layer, every pixel
/// OUT/SUBFOLDER/NAME-maps/layer1/         the sparse maps of each tile, as `places`, `values` and `shape`, and the
///                                         row and column that it begins `at`
/// OUT/SUBFOLDER/NAME-tiles/               what an unfinished call goes on from
/// ```
pub(super) fn run(
    options: &Options,
    coder: &Coder,
    observer: &mut dyn Callback<Event>,
) -> Result<Option<Report>> {
    let Some(tile) = tile(options, coder)? else {
        return Ok(None);
    };
    let options = Options {
        solver: Some(SolverName::CoordinateDescent),
        tile: Some(tile),
        ..options.clone()
    };
    let device = Device::flex();
    let mut run = Run::read(&options.checkpoint, options.which, &device)?;
    run.state.config.data.max_side = coder.state.config.data.max_side;
    let coder = Coder::new(&run, &options, &device)?;
    let note = coder.other_scale(options.solver);
    let tiles = format!("coding in tiles of about {tile} x {tile}, by descent, on the processor");
    for note in note.into_iter().chain([tiles]) {
        observer.event(Event::Note(note));
    }
    code(&options, &coder, tile, observer).map(Some)
}

fn code(
    options: &Options,
    coder: &Coder,
    tile: usize,
    observer: &mut dyn Callback<Event>,
) -> Result<Report> {
    let group = &options.group;
    let look = |job: &mut Job| {
        if job.is_array {
            return Err(Error::Input(format!(
                "{} holds arrays, and pictures alone are coded in tiles",
                job.image.display()
            )));
        }
        let seen = survey(&job.image, coder.state.config.data.planes(), None)?;
        let longer = seen.shape[1].max(seen.shape[2]);
        let max_side = coder.state.config.data.max_side;
        if let Some(most) = max_side.filter(|&most| longer > most) {
            return Err(Error::Input(format!(
                "{} has {longer} pixels along its longer side and is to be scaled down to {most}, which is not done \
                 in tiles; raise that limit",
                job.image.display()
            )));
        }
        (job.crc32, job.shape) = (seen.crc32, seen.shape);
        coder
            .state
            .check_size(&job.image, [seen.shape[1], seen.shape[2]])?;
        Ok(seen.flat)
    };
    let planned = plan(options, coder, Some(tile), &look, observer);
    let Plan {
        images,
        jobs,
        results,
        rows,
        finished,
        failures,
        notes,
        ..
    } = group.agree(planned)?;
    for note in notes {
        observer.event(Event::Note(note));
    }
    let mut report = Report {
        rows,
        finished,
        failures,
        ..Report::new(options, coder, images)?
    };
    let write = |report: &Report| match group.leads() {
        true => results.table(&report.table(), report),
        false => Ok(()),
    };
    group.agree(write(&report))?;
    for job in &jobs {
        let coding = Coding {
            options,
            coder,
            job,
            results: &results,
            tile,
        };
        let coded = coding.image(observer);
        let done = matches!(coded, Ok(Some(_)));
        match coded {
            Ok(Some(rows)) => {
                report.rows.extend(rows);
                report.finished.insert(job.name.clone(), job.crc32);
            }
            Ok(None) => report.interrupted = true,
            // Members of a group fail together.
            Err(error) if !group.is_alone() || ends_all(&error) => return Err(error),
            Err(error) => report.failures.push(Failure {
                image: job.image.clone(),
                error,
            }),
        }
        group.agree(write(&report))?;
        // What a failure leaves is what a later call goes on from.
        if done {
            group.lead(|| remove(&coding.scratch()))?;
        }
        if report.interrupted {
            break;
        }
    }
    Ok(report)
}

fn remove(folder: &Path) -> Result<()> {
    match folder.exists() {
        true => fs::remove_dir_all(folder).map_err(Error::io("remove", folder)),
        false => Ok(()),
    }
}

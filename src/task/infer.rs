//! `infer`: the maps of new images under the frozen filters of a run, by the same optimisation that
//! learning uses.

pub mod anomaly;
mod drawing;
mod files;
mod large;
mod merge;
mod problem_file;
mod report;

#[cfg(test)]
mod mask_tests;
#[cfg(test)]
mod shard_tests;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;

use self::anomaly::{Effort, Usual, effort};
pub use self::files::MapsFormat;
use self::files::{Job, Plan};
pub use self::merge::merge;
pub use self::problem_file::{ProblemReport, solve_problem};
pub use self::report::{Failure, Report, Row, Settings};
pub use super::shard::{Shard, Share};
use super::{Callback, Event, Interrupt, TABLE_EVERY, ends_all};
use crate::config::Form;
use crate::data::{Image, Masks, Reader, Undo, Weighted, mask_for, psnr, snr};
use crate::error::{Error, Result};
use crate::group::Group;
use crate::model::Network;
use crate::run::{Images, Run, State, checksum, data_of, nothing_learnt, to_image};
use crate::solve::{Budget, Encoded, Encoder, Limits, Reason, Solved, SolverName, Stage};
use crate::store::CheckpointSelector;

/// What to infer, from what, and where to.
#[derive(Clone, Debug)]
pub struct Options {
    /// The run folder whose filters are used.
    pub checkpoint: PathBuf,
    /// Which of its checkpoints.
    pub which: CheckpointSelector,
    /// A folder of images, searched recursively, one image, or a file of arrays, see [`Reader`].
    pub images: PathBuf,
    /// Patterns of names and paths in that folder to leave out.
    pub exclude: Vec<String>,
    /// Which of their pixels are known: a mask for all, a folder of masks, or a file of arrays, see [`Masks`].
    pub mask: Option<PathBuf>,
    /// Rows and columns of the tiles that each image is coded in, where it is too large to be coded as a whole; see
    /// [`Tiles`](crate::solve::Tiles). Absent, a single picture that the memory does not hold is coded so.
    pub tile: Option<usize>,
    /// The processes that share the tiles of each image.
    pub group: Group,
    /// The share of the images, where several calls write to one folder; all of them where absent.
    pub shard: Option<Shard>,
    /// The folder for the results.
    pub out: PathBuf,
    /// The solver; the run's own where absent.
    pub solver: Option<SolverName>,
    /// All learnt layers at once instead of one after the other. A run trained in the joint form is
    /// always inferred jointly: it has one objective.
    pub joint: bool,
    /// Scale images down so that neither side is longer than this many pixels; the run's own limit
    /// where absent.
    pub max_side: Option<usize>,
    /// When the optimisation of one layer ends.
    pub limits: Limits,
    /// The files that the maps are written to.
    pub maps_format: MapsFormat,
    /// Score how foreign each image is to those of the run, see [`anomaly`].
    pub anomaly: bool,
    /// Replace results that are there already.
    pub overwrite: bool,
    /// Go on where it is estimated to take more memory or disk than there is.
    pub force: bool,
}

/// Infers the maps of all images. For each image it writes, as soon as they are found,
///
/// ```text
/// OUT/SUBFOLDER/NAME-maps.npz   layer1, layer2, ..: the sparse maps, [K, H + h - 1, W + w - 1]
///                               layer1.anomaly, ..: with scores, that of each pixel, [H, W]
///                               of an image of arrays: image, layer1.reconstruction, ..: [C, H, W]
/// OUT/SUBFOLDER/NAME.png        the image, its reconstruction from each layer, the error, the scores
/// OUT/table.csv, table.json     a row for each image and layer, every few seconds and at the end
/// ```
///
/// One of several shards has a table of its own, `table-2-of-8.csv` and `.json`; [`merge`] makes one of all.
///
/// Greedily, layer `l` explains the maps that it was trained to explain: those of layer `l - 1`,
/// rescaled. Jointly, the top maps alone explain the image through all learnt layers, under the top
/// layer's objective.
///
/// Every image is read and checked before the first is worked on, and whatever can be known by then
/// to go wrong with all of them stops it before anything is written. An image that cannot be used or
/// fails later is left out and told of in the report, see [`Report::complete`]. An interruption ends it
/// after the step in progress; of the image in work nothing is written. A later call with the same
/// options, filters and images goes on after the images that are done.
///
/// # Errors
/// [`Error::Checkpoint`] for the run, [`Error::Input`] or [`Error::Io`] for the images,
/// [`Error::Exists`] where results are there already, [`Error::Finished`] where they are those of the same call,
/// [`Error::Config`] where the options contradict
/// the run, [`Error::Resources`] where there is too little memory or disk.
pub fn run(
    options: &Options,
    device: &Device,
    observer: &mut dyn Callback<Event>,
) -> Result<Report> {
    let mut run = Run::read(&options.checkpoint, options.which, device)?;
    if options.max_side == Some(0) {
        return Err(Error::Config(
            "images cannot be scaled down to a longest side of 0 pixels; give at least 1".into(),
        ));
    }
    let own = options.anomaly.then(|| Images::resume(&run.state));
    let max_side = &mut run.state.config.data.max_side;
    *max_side = options.max_side.or(*max_side);
    let mut coder = Coder::new(&run, options, device)?;
    if let Some(report) = large::run(options, &coder, observer)? {
        return Ok(report);
    }
    let look = |job: &mut Job| {
        let (image, undo) = coder.read(&job.image)?;
        job.crc32 = checksum(&image);
        job.shape = image.image().shape();
        Ok(undo.invert(image.image())?.is_flat())
    };
    let Plan {
        images,
        share,
        jobs,
        results,
        rows,
        finished,
        failures,
        notes,
    } = files::plan(options, &coder, None, &look, observer)?;
    let warning = coder.other_scale(options.solver);
    for note in warning.into_iter().chain(notes) {
        observer.event(Event::Note(note));
    }
    let mut report = Report {
        share,
        rows,
        finished,
        failures,
        ..Report::new(options, &coder, images)?
    };
    results.table(&report.table(), &report)?;
    if let Some(own) = own {
        match coder.usual(own, observer)? {
            Some(usual) => coder.usual = usual,
            None => {
                report.interrupted = true;
                return Ok(report);
            }
        }
    }
    let mut told = Instant::now();
    for (i, job) in jobs.iter().enumerate() {
        let inferred = coder.infer(job, observer);
        match inferred.and_then(|inferred| {
            let Some(inferred) = inferred else {
                return Ok(None);
            };
            inferred.write(job, &results)?;
            Ok(Some(inferred))
        }) {
            Ok(Some(inferred)) => {
                let rows = inferred.layers.into_iter().map(|layer| layer.row);
                report.rows.extend(rows);
                report.finished.insert(job.name.clone(), job.crc32);
            }
            Ok(None) => {
                report.interrupted = true;
                break;
            }
            Err(error) if ends_all(&error) => {
                // Best effort: this error is the one to tell.
                let _ = results.table(&report.table(), &report);
                return Err(error);
            }
            Err(error) => report.failures.push(Failure {
                image: job.image.clone(),
                error,
            }),
        }
        observer.event(Event::Item {
            name: job.name.clone(),
            done: i + 1,
            of: jobs.len(),
        });
        report.interrupted = observer.interrupted() && i + 1 < jobs.len();
        if report.interrupted {
            break;
        }
        if told.elapsed() >= TABLE_EVERY {
            results.table(&report.table(), &report)?;
            told = Instant::now();
        }
    }
    results.table(&report.table(), &report)?;
    Ok(report)
}

/// The frozen network and how it is used.
struct Coder<'a> {
    state: &'a State,
    encoder: Encoder<'a>,
    joint: bool,
    device: &'a Device,
    reader: Reader,
    masks: Masks,
    /// The images and the masks.
    files: (&'a Path, Option<&'a Path>),
    /// What is usual in each stage, where it is asked for.
    usual: Vec<Usual>,
}

/// Images of the run, spread over all, that say what is usual.
const USUAL: usize = 24;

/// The results of one image.
struct Inferred {
    /// The pixels, of the area that the preprocessing keeps.
    original: Image,
    is_array: bool,
    layers: Vec<InferredLayer>,
}

struct InferredLayer {
    row: Row,
    codes: Image,
    /// Pixels.
    reconstruction: Image,
    /// How foreign each pixel is, and what is usual.
    scores: Option<(Image, Usual)>,
}

impl<'a> Coder<'a> {
    fn new(run: &'a Run, options: &'a Options, device: &'a Device) -> Result<Self> {
        let state = &run.state;
        let top = state.objectives.last().copied();
        let top = top.ok_or_else(|| nothing_learnt(&options.checkpoint))?;
        let layers = state.learnt_layers();
        let joint = options.joint || state.config.train.form == Form::Joint;
        if joint && run.learnt().is_pooled() {
            return Err(Error::Config(
                "an adaptive run is inferred layer by layer, each at the switches of those below; it has \
                 no joint form"
                    .into(),
            ));
        }
        if options.anomaly && run.learnt().is_pooled() {
            return Err(Error::Config(
                "an anomaly score needs maps that lie over the pixels, and those of an adaptive run are \
                 pooled; use a run of another form"
                    .into(),
            ));
        }
        if options.anomaly && state.images.is_empty() {
            return Err(Error::Config(format!(
                "{} has no images of its own, which would say what is usual; an anomaly score needs a run that \
                 was trained",
                options.checkpoint.display()
            )));
        }
        let stage = |layers, objective| Stage {
            layers,
            objective,
            budget: Budget::Limits(options.limits),
        };
        let stages: Vec<_> = if joint {
            vec![stage(0..layers, top)]
        } else {
            let each = state.objectives.iter().enumerate();
            each.map(|(l, &objective)| stage(state.layers_of(l), objective))
                .collect()
        };
        let without_gap = stages.iter().find(|stage| !stage.objective.is_convex());
        if let (Some(_), Some(stage)) = (options.limits.gap, without_gap) {
            return Err(Error::Config(format!(
                "a limit on the duality gap needs p = 1, and layer {} has p = {}; limit the steps, \
                 the seconds or the change of the objective instead",
                stage.layers.end,
                stage.objective.p()
            )));
        }
        let solver = options.solver.unwrap_or(state.config.train.solver);
        let method = state.config.method(solver);
        for stage in &stages {
            method.check_network(&run.network.part(stage.layers.clone()))?;
        }
        Ok(Self {
            state,
            encoder: Encoder {
                network: &run.network,
                stages,
                method,
                start_noise: state.config.train.start_noise,
                seed: state.config.seed,
            },
            joint,
            device,
            reader: Reader::default(),
            masks: Masks::default(),
            files: (options.images.as_path(), options.mask.as_deref()),
            usual: Vec::new(),
        })
    }

    /// What decides the results beside the images.
    fn settings(&self, options: &Options) -> Result<Settings> {
        let state = serde_json::to_vec(self.state).map_err(|error| {
            Error::Checkpoint(format!("the run cannot be written down: {error}"))
        })?;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&state);
        for layer in self.encoder.network.layers() {
            for value in layer.filters.val().into_data().iter::<f32>() {
                hasher.update(&value.to_le_bytes());
            }
        }
        Ok(Settings {
            run: hasher.finalize(),
            solver: self.encoder.method.name().into(),
            joint: self.joint,
            limits: options.limits,
            maps: options.maps_format.to_string(),
            anomaly: options.anomaly,
            tile: options.tile,
        })
    }

    /// A warning where layers explain the maps of another kind of solver than they were learnt from.
    fn other_scale(&self, solver: Option<SolverName>) -> Option<String> {
        let own = self.state.config.train.solver;
        let solver = solver?;
        let is_split = |name: SolverName| name.method().has_separate_maps();
        let differs = self.encoder.stages.len() > 1 && is_split(own) != is_split(solver);
        differs.then(|| {
            format!(
                "warning: the run's solver is {}, whose maps are of another scale than those by {}: \
                 layers above the first that were learnt from the former explain the latter less \
                 well than the run's own solver would",
                self.state.config.method(own).name(),
                self.encoder.method.name()
            )
        })
    }

    /// A prepared image with the weights of its pixels.
    fn read(&self, image: &Path) -> Result<(Weighted, Undo)> {
        let (images, masks) = self.files;
        let mask = masks.map(|masks| mask_for(masks, Some(images), Some(image)));
        let mask = mask.transpose()?;
        let mask = mask.as_deref().map(|mask| (&self.masks, mask));
        self.state.prepare_masked(image, &self.reader, mask)
    }

    /// None where an interruption left the image half done.
    fn infer(&self, job: &Job, observer: &dyn Callback<Event>) -> Result<Option<Inferred>> {
        let (prepared, undo) = self.read(&job.image)?;
        let original = undo.invert(prepared.image())?;
        let Some(coded) = self.code(&prepared, observer)? else {
            return Ok(None);
        };
        let layers = coded
            .iter()
            .enumerate()
            .map(|(stage, (stack, solved))| {
                let usual = self.usual.get(stage);
                self.result(job, (stack, solved), &prepared, (&undo, &original), usual)
            })
            .collect::<Result<_>>()?;
        Ok(Some(Inferred {
            original,
            is_array: job.is_array,
            layers,
        }))
    }

    /// The codes of each stage, and the linear map from them to the image; none after an interruption.
    fn code(
        &self,
        prepared: &Weighted,
        observer: &dyn Callback<Event>,
    ) -> Result<Option<Vec<(Network, Solved)>>> {
        let images = data_of(prepared, self.device)?;
        let coded = self.encoder.encode(images, &mut Interrupt(observer))?;
        if coded
            .iter()
            .any(|one| one.solved.reason == Reason::Interrupted)
        {
            return Ok(None);
        }
        let stack = |layer: usize| {
            let codes = coded.iter().map(|one| (one.layer, &one.solved.codes));
            self.encoder.network.stack(0..layer + 1, codes)
        };
        let stacks: Vec<_> = coded
            .iter()
            .map(|one| stack(one.layer))
            .collect::<Result<_>>()?;
        let solved = coded.into_iter().map(|Encoded { solved, .. }| solved);
        Ok(Some(stacks.into_iter().zip(solved).collect()))
    }

    /// What is usual in each stage, from images of the run; none after an interruption.
    fn usual(
        &self,
        mut own: Images,
        observer: &mut dyn Callback<Event>,
    ) -> Result<Option<Vec<Usual>>> {
        let there = own.sources().len();
        let count = there.min(USUAL);
        observer.event(Event::Note(format!(
            "coding {count} of the {there} images of the run, which say what is usual"
        )));
        let mut stages: Vec<Vec<Effort>> = vec![Vec::new(); self.encoder.stages.len()];
        for k in 0..count {
            let prepared = own.weighted(k * there / count)?;
            let Some(coded) = self.code(&prepared, observer)? else {
                return Ok(None);
            };
            for ((stack, solved), efforts) in coded.iter().zip(&mut stages) {
                let planes = to_image(&stack.synthesize(solved.codes.clone()), 0)?;
                efforts.push(effort(stack, &solved.codes, &prepared, &planes)?);
            }
        }
        Ok(stages.iter().map(|efforts| Usual::of(efforts)).collect())
    }

    fn result(
        &self,
        job: &Job,
        (stack, solved): (&Network, &Solved),
        prepared: &Weighted,
        (undo, original): (&Undo, &Image),
        usual: Option<&Usual>,
    ) -> Result<InferredLayer> {
        let planes = stack.synthesize(solved.codes.clone());
        let planes = to_image(&planes, 0)?;
        let codes = to_image(&solved.codes, 0)?;
        let effort = usual.map(|usual| {
            let effort = effort(stack, &solved.codes, prepared, &planes)?;
            Ok((effort.scores(usual), *usual))
        });
        let scores: Option<_> = effort.transpose()?;
        let largest = scores.as_ref().map(|(scores, _)| anomaly::largest(scores));
        let reconstruction = undo.invert(&planes)?;
        let known = |image: &Image| prepared.known_of(image);
        let last = solved.last();
        let row = Row {
            image: job.name.clone(),
            layer: stack.layers().len(),
            objective: last.at.objective,
            data: last.at.data,
            penalty: last.at.penalty,
            gap: last.at.gap,
            snr: (!original.is_flat()).then(|| snr(&known(prepared.image()), &known(&planes))),
            psnr: (!original.is_flat() && !job.is_array)
                .then(|| psnr(&known(original), &known(&reconstruction))),
            density: last.at.density,
            steps: last.step,
            seconds: last.seconds,
            reason: solved.reason,
            anomaly: largest.map(|(score, _)| score),
            place: largest.map(|(_, place)| place),
            tiles: None,
            sweeps: None,
        };
        Ok(InferredLayer {
            row,
            codes,
            reconstruction,
            scores,
        })
    }
}

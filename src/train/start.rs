//! How a trainer begins: in memory, in a new run folder, or where a run stopped.

use std::path::Path;
use std::time::Instant;

use burn::tensor::Device;

use super::trainer::Trainer;
use super::{Event, check_group, check_sizes};
use crate::backend::is_cpu;
use crate::config::Config;
use crate::data::Weighted;
use crate::error::{Error, Result};
use crate::group::Group;
use crate::model::Network;
use crate::run::{Free, Images, Run, State, Store, Work, load_memory};
use crate::solve::{Callback, FilterMemory, Learner};
use crate::store::{CheckpointSelector, RunFolder};

impl Trainer {
    /// Learns from images in memory, [`Weighted`] where pixels are missing, and keeps all maps
    /// there; nothing is written.
    ///
    /// # Errors
    /// [`Error::Config`] for settings that do not fit, [`Error::Input`] for images that cannot be used.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use deconvnet::config::Config;
    /// use deconvnet::data::scenes;
    /// use deconvnet::train::{Ended, Trainer};
    ///
    /// let config = "[train]\nsolver = \"descent\"\n[[layer]]\nmaps = 4\nsize = 5\nepochs = 1\n";
    /// let config = Config::parse(config)?;
    /// let images = (0..2).map(|k| scenes::sample(k, 24, 0)).collect();
    /// let mut trainer = Trainer::in_memory(config, images, &Device::flex())?;
    /// assert_eq!(trainer.train(&mut ())?, Ended::Finished);
    /// assert_eq!(trainer.network().top().filters.dims(), [3, 4, 5, 5]);
    /// # Ok::<(), deconvnet::Error>(())
    /// ```
    pub fn in_memory<I: Into<Weighted>>(
        config: Config,
        images: Vec<I>,
        device: &Device,
    ) -> Result<Self> {
        let images = Images::given(&config, images)?;
        Self::new(config, images, Store::in_memory(), device, &Group::alone())
    }

    /// Starts a new run in the folder `path`, which must not hold one, from the images that the
    /// configuration names. Where it is estimated to take more memory or disk than there is, only with
    /// `force`. All members of a group work on the one run.
    ///
    /// # Errors
    /// Everything that can be wrong with images, settings and the folder; [`Error::Resources`].
    pub fn in_folder(
        config: Config,
        path: &Path,
        device: &Device,
        force: bool,
        group: &Group,
    ) -> Result<Self> {
        let checked = config.check().and_then(|()| check_group(&config, group));
        group.agree(checked)?;
        let images = Images::open_together(&config, group)?;
        let config = images.config().clone();
        let fits = || {
            check_sizes(&config, &images)?;
            if !force {
                let free = Free::here(is_cpu(device), path);
                Work::learning(&config)?.check(&images.shapes(), free, images.can_be_scaled())?;
            }
            Ok(())
        };
        group.agree(fits())?;
        let folder = RunFolder::create_together(path, group)?;
        let store = Store::Folder(Box::new(folder));
        Self::new(config, images, store, device, group)
    }

    /// Learns from images that are found and prepared already. The members of a group share a run folder;
    /// memory will do where no maps are kept.
    ///
    /// # Errors
    /// As [`Trainer::in_memory`].
    pub fn new(
        mut config: Config,
        images: Images,
        store: Store,
        device: &Device,
        group: &Group,
    ) -> Result<Self> {
        config.data.channels = images.config().data.channels;
        config.check()?;
        check_group(&config, group)?;
        if !group.is_alone() && config.keeps_maps() && store.path().is_none() {
            return Err(Error::Config(
                "processes share maps through a run folder: learn in one, or online".into(),
            ));
        }
        check_sizes(&config, &images)?;
        let network = config.network()?.init(device)?;
        let prepare = images.prepare().clone();
        let state = State::new(config, prepare, images.sources().to_vec())?;
        let run = Run {
            store,
            state,
            network,
        };
        Ok(Self::of(
            run,
            images,
            FilterMemory::default(),
            device,
            group,
        ))
    }

    /// Goes on with the run in the folder `path`, as if it had never stopped; by as many members of a group
    /// as now work on it. `epochs` gives it others than it was begun with, see [`State::set_epochs`].
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where it is damaged, [`Error::Input`] where its images are not what they
    /// were, [`Error::Config`] for a run that was imported and for epochs fewer than it has had.
    pub fn resume(
        path: &Path,
        which: CheckpointSelector,
        epochs: Option<usize>,
        device: &Device,
        group: &Group,
        callback: &mut dyn Callback<Event>,
    ) -> Result<Self> {
        let read = Self::read(path, which, epochs, device, group, callback);
        let (state, images, memory) = group.agree(read)?;
        let run = group.agree(Run::open(path, which, device, group))?;
        let mut trainer = Self::of(Run { state, ..run }, images, memory, device, group);
        trainer.changed = epochs.is_some();
        // Older versions forgot at the end of a run what online learning remembers.
        if !trainer.run.state.finished() && trainer.memory.statistics.is_empty() {
            trainer.memory.statistics = trainer.fresh_memory().statistics;
        }
        Ok(trainer)
    }

    fn read(
        path: &Path,
        which: CheckpointSelector,
        epochs: Option<usize>,
        device: &Device,
        group: &Group,
        callback: &mut dyn Callback<Event>,
    ) -> Result<(State, Images, FilterMemory)> {
        // All of it is read before anything is written: going on from an older checkpoint drops those
        // that came after it.
        let mut run = Run::read(path, which, device)?;
        if run.state.images.is_empty() {
            return Err(Error::Config(format!(
                "{} was imported and has no images to learn from; use it for inference, pictures or \
                 export, or start a new run",
                path.display()
            )));
        }
        if let Some(epochs) = epochs {
            run.state.set_epochs(epochs)?;
        }
        check_group(&run.state.config, group)?;
        run.warn_of_trace(callback)?;
        let mut images = Images::resume(&run.state);
        let memory = match run.state.finished() {
            true => FilterMemory::default(),
            false => {
                for i in group.part(run.state.images.len()) {
                    images.get(i)?;
                }
                load_memory(&run, run.state.position.stage)?
            }
        };
        Ok((run.state, images, memory))
    }

    fn of(
        mut run: Run,
        images: Images,
        memory: FilterMemory,
        device: &Device,
        group: &Group,
    ) -> Self {
        if let Store::Folder(folder) = &mut run.store {
            folder.keep = run.state.config.checkpoint.keep;
        }
        Self {
            learner: Learner {
                group: group.clone(),
                ..run.state.config.learner()
            },
            seconds_before: run.state.seconds,
            run,
            images,
            memory,
            device: device.clone(),
            changed: false,
            announced: None,
            saved: Instant::now(),
            began: Instant::now(),
        }
    }

    /// The same with other filters to begin with.
    pub fn with_network(mut self, network: Network) -> Self {
        self.run.network = network;
        self
    }

    /// The same with another solver and its settings.
    pub fn with_learner(self, learner: Learner) -> Self {
        let group = self.group().clone();
        Self {
            learner: Learner { group, ..learner },
            ..self
        }
    }
}

//! 3-D max pooling with switches: over rows, columns and adjacent maps.
//!
//! The windows do not overlap and are clipped at the border. Of each, the element of largest magnitude
//! is kept with its sign, and the switch says which one it was; unpooling puts it back there:
//!
//! ```text
//! pool:    p[w] = z[s[w]],   s[w] = argmax |z[i]| over the elements i of window w
//! unpool:  (U_s p)[s[w]] = p[w], zeros elsewhere
//! adjoint: (U_s' z)[w] = z[s[w]]
//! ```
//!
//! Of equal magnitudes the first one wins, along a column first, then over the columns, then over the
//! maps; what is not a number counts as infinite. A window of zeros has no switch: its value is 0, and what
//! is unpooled there is dropped.
//!
//! On a GPU, in single precision, switches are found by a kernel, and they stay there until somebody asks
//! for them; on the CPU another kernel finds them; else, and to check both, the plain Burn operations of
//! [`mod@reference`].
//!
//! # Shapes
//! maps `[n, K, H, W]` <-> pooled `[n, ceil(K / maps), ceil(H / rows), ceil(W / columns)]`
//!
//! Source: Zeiler, Taylor and Fergus, Adaptive Deconvolutional Networks for Mid and High Level Feature
//! Learning, ICCV 2011, section 2.1, and the authors' helper toolbox.

#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod gpu;
mod kernel;
pub mod reference;

use std::sync::{Arc, OnceLock};

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::backend::{Kernels, kernels};
use crate::error::{Error, Result};

pub(crate) use kernel::magnitude;

/// The size of the windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "[usize; 3]", into = "[usize; 3]")]
pub struct Pool {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// Adjacent maps.
    pub maps: usize,
}

/// The largest window along an axis; a larger one is surely a typing error.
const MOST: usize = 1024;

impl Default for Pool {
    fn default() -> Self {
        Self::NONE
    }
}

impl From<Pool> for [usize; 3] {
    fn from(pool: Pool) -> Self {
        [pool.rows, pool.columns, pool.maps]
    }
}

impl TryFrom<[usize; 3]> for Pool {
    type Error = Error;

    fn try_from([rows, columns, maps]: [usize; 3]) -> Result<Self> {
        let sound = |size: usize| (1..=MOST).contains(&size);
        match [rows, columns, maps].into_iter().all(sound) {
            true => Ok(Self {
                rows,
                columns,
                maps,
            }),
            false => Err(Error::Config(format!(
                "a pooling window of {rows} rows, {columns} columns and {maps} maps cannot be; each must be \
                 from 1 to {MOST}"
            ))),
        }
    }
}

impl Pool {
    /// Windows of one element: nothing is pooled.
    pub const NONE: Self = Self {
        rows: 1,
        columns: 1,
        maps: 1,
    };

    /// Whether the windows are of one element.
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// How many maps so many become.
    pub fn pooled_maps(self, maps: usize) -> usize {
        maps.div_ceil(self.maps)
    }

    /// The shape of the pooled maps.
    pub fn pooled(self, [n, k, height, width]: [usize; 4]) -> [usize; 4] {
        [
            n,
            self.pooled_maps(k),
            height.div_ceil(self.rows),
            width.div_ceil(self.columns),
        ]
    }
}

/// Where the kept element of each window lies, for each image of a batch. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Switches {
    pool: Pool,
    maps: [usize; 4],
    places: Arc<Places>,
}

/// In memory, on a device, or on both: each is made of the other when it is first asked for.
#[derive(Debug, Default)]
struct Places {
    memory: OnceLock<Vec<i32>>,
    device: OnceLock<Tensor<4, Int>>,
}

impl From<Vec<i32>> for Places {
    fn from(places: Vec<i32>) -> Self {
        Self {
            memory: places.into(),
            ..Self::default()
        }
    }
}

impl From<Tensor<4, Int>> for Places {
    fn from(places: Tensor<4, Int>) -> Self {
        Self {
            device: places.into(),
            ..Self::default()
        }
    }
}

impl PartialEq for Switches {
    fn eq(&self, other: &Self) -> bool {
        self.pool == other.pool && self.maps == other.maps && self.places() == other.places()
    }
}

impl Eq for Switches {}

/// The place of a window without a switch.
const NOWHERE: i32 = -1;

/// Pools maps: the kept values, and where they lay.
///
/// Differentiable in the maps at the switches found.
///
/// # Shapes
/// `[n, K, H, W]` -> `[n, ceil(K / maps), ceil(H / rows), ceil(W / columns)]`
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use deconvnet::pooling::{Pool, pool};
///
/// let device = Device::flex();
/// let maps = Tensor::<4>::from_data([[[[1.0, -3.0, 0.5], [2.0, 0.0, 0.0]]]], &device);
/// let (values, switches) = pool(maps.clone(), Pool { rows: 2, columns: 2, maps: 1 });
/// assert_eq!(values.to_data().to_vec::<f32>().unwrap(), [-3.0, 0.5]);
/// assert_eq!(switches.places(), [1, 2]);
/// let back = switches.unpool(values);
/// assert_eq!(back.to_data().to_vec::<f32>().unwrap(), [0.0, -3.0, 0.5, 0.0, 0.0, 0.0]);
/// ```
pub fn pool(maps: Tensor<4>, pool: Pool) -> (Tensor<4>, Switches) {
    let switches = Switches::of(&maps, pool);
    (switches.pool(maps), switches)
}

impl Switches {
    /// Those of the largest magnitudes of maps.
    pub fn of(maps: &Tensor<4>, pool: Pool) -> Self {
        let shape = maps.dims();
        let maps = maps.clone().without_autodiff();
        let places: Places = match kernels(&maps.device(), maps.dtype()) {
            Some(Kernels::Cpu) => kernel::switches(&maps, pool).into(),
            #[cfg(any(feature = "wgpu", feature = "cuda"))]
            Some(Kernels::Gpu) => gpu::switches(maps, pool).into(),
            _ => reference::switches(maps, pool).into(),
        };
        Self {
            pool,
            maps: shape,
            places: places.into(),
        }
    }

    /// From the place of each window, row-major, in the order of [`Switches::places`].
    ///
    /// # Errors
    /// [`Error::Input`] where there is not one for each window, or one lies outside its window.
    pub fn from_places(pool: Pool, maps: [usize; 4], places: Vec<i32>) -> Result<Self> {
        let switches = Self {
            pool,
            maps,
            places: Arc::new(places.into()),
        };
        let pooled @ [n, k, height, width] = switches.pooled_shape();
        let windows: usize = pooled.iter().product();
        let fits = |(w, &place): (usize, &i32)| {
            let Ok(place) = usize::try_from(place) else {
                return place == NOWHERE;
            };
            let window = [w / (height * width) % k, w / width % height, w % width];
            let [_, all, rows, columns] = maps;
            let at = [
                place / (rows * columns),
                place / columns % rows,
                place % columns,
            ];
            let sizes = [pool.maps, pool.rows, pool.columns];
            at[0] < all && (0..3).all(|d| at[d] / sizes[d] == window[d])
        };
        let places = switches.places();
        if places.len() != windows || !places.iter().enumerate().all(fits) {
            return Err(Error::Input(format!(
                "{} switches do not fit {windows} windows of {n} images with maps {maps:?}; give the \
                 place of one element of each window, or -1",
                places.len()
            )));
        }
        Ok(switches)
    }

    /// Switches drawn at random: in each window that has one, any of its elements.
    pub fn random(&self, rng: &mut impl Rng) -> Self {
        let [_, k, height, width] = self.maps;
        let Pool {
            rows,
            columns,
            maps,
        } = self.pool;
        let draw = |&place: &i32| {
            let Ok(place) = usize::try_from(place) else {
                return NOWHERE;
            };
            let at = [
                place / (height * width),
                place / width % height,
                place % width,
            ];
            let bounds = [(maps, k), (rows, height), (columns, width)];
            let mut drawn = at.iter().zip(bounds).map(|(&at, (size, most))| {
                let first = at / size * size;
                rng.random_range(first..(first + size).min(most))
            });
            let [map, row, column] = [(); 3].map(|()| drawn.next().unwrap_or_default());
            ((map * height + row) * width + column) as i32
        };
        self.with_places(self.places().iter().map(draw).collect())
    }

    /// The windows.
    pub fn windows(&self) -> Pool {
        self.pool
    }

    /// The shape of the maps that were pooled, `[n, K, H, W]`.
    pub fn maps_shape(&self) -> [usize; 4] {
        self.maps
    }

    /// The shape of the pooled maps.
    pub fn pooled_shape(&self) -> [usize; 4] {
        self.pool.pooled(self.maps)
    }

    /// For each window, row-major as the pooled maps, the place of its element among the `K H W` of its
    /// image, row-major; -1 for a window without one.
    pub fn places(&self) -> &[i32] {
        let Places { memory, device } = &*self.places;
        memory.get_or_init(|| {
            let places = device.get().expect("places lie somewhere").to_data();
            places.iter::<i32>().collect()
        })
    }

    /// The same on a device, `[n, ceil(K / maps), ceil(H / rows), ceil(W / columns)]`.
    fn places_on(&self, device: &Device) -> Tensor<4, Int> {
        let device = device.clone().without_autodiff();
        match self.places.device.get() {
            Some(places) if places.device() == device => places.clone(),
            _ => {
                let data = TensorData::new(self.places().to_vec(), self.pooled_shape());
                let places = Tensor::from_data(data, (&device, DType::I32));
                // Another device may have been first.
                self.places.device.set(places.clone()).ok();
                places
            }
        }
    }

    /// Other ones for the same maps.
    pub(crate) fn with_places(&self, places: Vec<i32>) -> Self {
        Self {
            places: Arc::new(places.into()),
            ..*self
        }
    }

    /// Those of image `i` alone.
    ///
    /// # Panics
    /// Where there is no such image.
    pub fn image(&self, i: usize) -> Self {
        let [n, k, h, w] = self.maps;
        let each = self.places().len() / n;
        let places = self.places()[i * each..][..each].to_vec();
        Self {
            maps: [1, k, h, w],
            ..self.with_places(places)
        }
    }

    /// Those of several batches as one batch.
    ///
    /// # Panics
    /// Where there is none, or windows or maps differ.
    pub fn cat(all: &[Self]) -> Self {
        let [_, k, h, w] = all[0].maps;
        let alike = |s: &Self| s.pool == all[0].pool && s.maps[1..] == [k, h, w];
        assert!(all.iter().all(alike), "switches of a batch are alike");
        let places = all.iter().flat_map(|s| s.places()).copied().collect();
        Self {
            maps: [all.iter().map(|s| s.maps[0]).sum(), k, h, w],
            ..all[0].with_places(places)
        }
    }

    /// The elements at the switches, `U_s' z`: the adjoint of [`Switches::unpool`].
    ///
    /// # Panics
    /// Where the maps are not of the shape of [`Switches::maps_shape`].
    pub fn pool(&self, maps: Tensor<4>) -> Tensor<4> {
        assert_eq!(maps.dims(), self.maps, "maps must fit their switches");
        let places = self.places_on(&maps.device());
        match kernels(&maps.device(), maps.dtype()) {
            #[cfg(any(feature = "wgpu", feature = "cuda"))]
            Some(Kernels::Gpu) => gpu::pool(maps, places, self.pool),
            _ => reference::pool(maps, places),
        }
    }

    /// The values at their switches, zeros elsewhere, `U_s p`.
    ///
    /// # Panics
    /// Where the values are not of the shape of [`Switches::pooled_shape`].
    pub fn unpool(&self, values: Tensor<4>) -> Tensor<4> {
        let pooled = self.pooled_shape();
        assert_eq!(values.dims(), pooled, "values must fit their switches");
        let places = self.places_on(&values.device());
        match kernels(&values.device(), values.dtype()) {
            #[cfg(any(feature = "wgpu", feature = "cuda"))]
            Some(Kernels::Gpu) => gpu::unpool(values, places, self.pool, self.maps),
            _ => reference::unpool(values, places, self.maps),
        }
    }
}

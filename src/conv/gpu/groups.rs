//! Which outputs a workgroup computes together: the connected pairs as lists of indices on the device.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use burn_cubecl::CubeDevice;
use burn_cubecl::cubecl::client::Client;
use burn_cubecl::cubecl::prelude::{BufferArg, CubeElement};
use burn_cubecl::cubecl::server::Handle;

use crate::connectivity::Connectivity;
use crate::conv::sizes::Product;

/// The index of a member that a group does not have.
pub(super) const NONE: u32 = u32::MAX;

/// Groups of at most `width` outputs that read the same inputs, so that one pass over an input serves
/// all of its group and no unconnected pair is ever visited.
#[derive(Debug, PartialEq)]
struct Groups {
    width: usize,
    members: Vec<Vec<usize>>,
    inputs: Vec<Vec<usize>>,
}

impl Groups {
    fn of(g: &Connectivity, product: Product) -> Self {
        // Alike lists become neighbours and form groups.
        let runs = |lists: Vec<Vec<usize>>| {
            let mut order: Vec<usize> = (0..lists.len()).collect();
            order.sort_by(|&a, &b| lists[a].cmp(&lists[b]));
            let alike = order.chunk_by(|&a, &b| lists[a] == lists[b]);
            let runs = alike.map(|run| (run.to_vec(), lists[run[0]].clone()));
            runs.collect::<Vec<_>>()
        };
        let runs = match product {
            Product::Synthesize => runs((0..g.planes()).map(|c| g.maps_of(c)).collect()),
            Product::Analyze => runs((0..g.maps()).map(|k| g.planes_of(k)).collect()),
            // Each map with the planes that its filter has, whose residuals it meets.
            Product::FilterGradient => (0..g.maps()).map(|k| (g.planes_of(k), vec![k])).collect(),
        };
        let width = best_width(&runs);
        let mut groups = Self {
            width,
            members: Vec::new(),
            inputs: Vec::new(),
        };
        for (members, inputs) in &runs {
            for members in members.chunks(width) {
                groups.members.push(members.to_vec());
                groups.inputs.push(inputs.clone());
            }
        }
        groups
    }

    /// As the kernels read them: where each group's inputs start (and the last ones end), `width`
    /// members of each group, the inputs.
    fn words(&self) -> Vec<u32> {
        let count = self.members.len();
        let mut at = count + 1 + count * self.width;
        let mut words = vec![at as u32];
        for inputs in &self.inputs {
            at += inputs.len();
            words.push(at as u32);
        }
        for members in &self.members {
            words.extend((0..self.width).map(|q| members.get(q).map_or(NONE, |&m| m as u32)));
        }
        words.extend(self.inputs.iter().flatten().map(|&input| input as u32));
        words
    }

    /// For the filter gradient: the slot among all members, `group * width + member`, of each pair
    /// `c * maps + k`, [`NONE`] where unconnected.
    fn slots(&self, g: &Connectivity) -> Vec<u32> {
        let mut slots = vec![NONE; g.planes() * g.maps()];
        for (group, (planes, maps)) in self.members.iter().zip(&self.inputs).enumerate() {
            for (q, c) in planes.iter().enumerate() {
                slots[c * g.maps() + maps[0]] = (group * self.width + q) as u32;
            }
        }
        slots
    }
}

/// The number of outputs that share a pass which costs least over all runs of alike outputs.
///
/// What a pass costs is an estimate, from the instructions for a column of 8 taps: 23 loads from shared
/// memory or 64 multiply-adds for each output, four of which take as long as a load, whichever is more,
/// and 10 for bringing the tile there.
fn best_width(runs: &[(Vec<usize>, Vec<usize>)]) -> usize {
    const COSTS: [(usize, usize); 3] = [(1, 33), (2, 42), (4, 74)];
    let total = |(width, cost): &(usize, usize)| -> usize {
        let passes = runs
            .iter()
            .map(|(members, inputs)| members.len().div_ceil(*width) * inputs.len());
        passes.sum::<usize>() * cost
    };
    COSTS
        .iter()
        .min_by_key(|one| total(one))
        .map_or(1, |(width, _)| *width)
}

/// The groups of one connectivity for one product, in the device's memory.
#[derive(Debug)]
pub(super) struct DeviceGroups {
    /// Outputs of a group.
    pub width: usize,
    /// Number of groups.
    pub count: usize,
    words: (Handle, usize),
    slots: (Handle, usize),
}

impl DeviceGroups {
    /// The groups, see [`Groups::words`].
    pub fn words(&self) -> BufferArg {
        whole(&self.words)
    }

    /// The slot of each pair, see [`Groups::slots`]; for the filter gradient alone.
    pub fn slots(&self) -> BufferArg {
        whole(&self.slots)
    }
}

fn whole((handle, len): &(Handle, usize)) -> BufferArg {
    // SAFETY: the buffer was made from that many words.
    unsafe { BufferArg::from_raw_parts(handle.clone(), *len) }
}

type Key = (CubeDevice, Product, Connectivity);

/// A program has a handful of layers; more than this means that they come and go.
const CACHED: usize = 256;

/// The groups, made and uploaded at the first use of a connectivity on a device and kept: a step of a
/// solver uploads nothing.
pub(super) fn device_groups(
    client: &Client,
    device: &CubeDevice,
    g: &Connectivity,
    product: Product,
) -> Arc<DeviceGroups> {
    static CACHE: LazyLock<Mutex<HashMap<Key, Arc<DeviceGroups>>>> = LazyLock::new(Mutex::default);
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (device.clone(), product, g.clone());
    if let Some(groups) = cache.get(&key) {
        return groups.clone();
    }
    if cache.len() >= CACHED {
        cache.clear();
    }
    let groups = Groups::of(g, product);
    let upload = |words: Vec<u32>| {
        let handle = client.create_from_slice(u32::as_bytes(&words));
        (handle, words.len())
    };
    let slots = match product {
        Product::FilterGradient => groups.slots(g),
        _ => vec![NONE],
    };
    let uploaded = Arc::new(DeviceGroups {
        width: groups.width,
        count: groups.members.len(),
        words: upload(groups.words()),
        slots: upload(slots),
    });
    cache.insert(key, uploaded.clone());
    uploaded
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRODUCTS: [Product; 3] = [
        Product::Synthesize,
        Product::Analyze,
        Product::FilterGradient,
    ];

    /// The pairs (plane, map) that the groups visit, sorted.
    fn pairs(groups: &Groups, product: Product) -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        for (members, inputs) in groups.members.iter().zip(&groups.inputs) {
            for &m in members {
                for &i in inputs {
                    pairs.push(match product {
                        Product::Analyze => (i, m),
                        _ => (m, i),
                    });
                }
            }
        }
        pairs.sort_unstable();
        pairs
    }

    #[test]
    fn the_groups_visit_every_connected_pair_once_and_no_other() {
        let mut all = vec![
            Connectivity::full(3, 16),
            Connectivity::singles(5),
            Connectivity::singles_and_pairs(9),
        ];
        all.extend((0..8).map(|seed| Connectivity::random(7, 20, 2, seed).expect("sound")));
        for g in &all {
            let connected: Vec<_> = (0..g.planes())
                .flat_map(|c| g.maps_of(c).into_iter().map(move |k| (c, k)))
                .collect();
            for product in PRODUCTS {
                let groups = Groups::of(g, product);
                assert_eq!(pairs(&groups, product), connected, "{product:?} {g:?}");
                assert!(groups.members.iter().all(|m| m.len() <= groups.width));
            }
        }
    }

    #[test]
    fn every_output_belongs_to_a_group_even_one_that_sees_nothing() {
        let g = Connectivity::matrix(&[vec![1, 1], vec![0, 0], vec![1, 0]]).expect("sound");
        let mut planes = Groups::of(&g, Product::Synthesize).members.concat();
        planes.sort_unstable();
        assert_eq!(planes, [0, 1, 2]);
    }

    #[test]
    fn alike_outputs_share_a_pass_and_others_do_not() {
        let width = |g: &Connectivity, product| Groups::of(g, product).width;
        let full = Connectivity::full(1, 64);
        assert_eq!(width(&full, Product::Analyze), 4);
        assert_eq!(width(&full, Product::Synthesize), 1);
        let pairs = Connectivity::singles_and_pairs(9);
        assert_eq!(width(&pairs, Product::Analyze), 1);
        assert_eq!(width(&pairs, Product::FilterGradient), 2);
    }

    #[test]
    fn words_and_slots_by_hand() {
        let g = Connectivity::matrix(&[vec![1, 1, 0], vec![0, 1, 1]]).expect("sound");
        let groups = Groups {
            width: 2,
            members: vec![vec![0], vec![0, 1], vec![1]],
            inputs: vec![vec![0], vec![1], vec![2]],
        };
        let members = [0, NONE, 0, 1, 1, NONE];
        let words = [&[10, 11, 12, 13][..], &members, &[0, 1, 2]].concat();
        assert_eq!(groups.words(), words);
        assert_eq!(groups.slots(&g), [0, 2, NONE, NONE, 3, 4]);
    }
}

//! The windows of convolutions and poolings, and what files say of them.

use super::Site;
use crate::error::Result;

/// Windows along one spatial axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Elements of a window.
    pub kernel: usize,
    /// Steps between windows.
    pub stride: usize,
    /// Steps between the elements of a window.
    pub dilation: usize,
    /// Elements beyond the first one at which the first window begins.
    pub begin: usize,
    /// How many windows.
    pub count: usize,
}

impl Windows {
    /// One window of one element.
    pub const POINT: Self = Self {
        kernel: 1,
        stride: 1,
        dilation: 1,
        begin: 0,
        count: 1,
    };

    /// From the first to the last element of a window, both counted.
    pub fn extent(&self) -> usize {
        (self.kernel - 1) * self.dilation + 1
    }

    /// From the start of the first window to the end of the last.
    pub fn span(&self) -> usize {
        (self.count - 1) * self.stride + self.extent()
    }

    /// How many zeros behind `length` elements the last window reaches over.
    pub fn end(&self, length: usize) -> usize {
        self.span().saturating_sub(self.begin + length)
    }

    /// As many windows of the kind, the first where the elements begin.
    pub fn first(&self, count: usize) -> Self {
        Self {
            begin: 0,
            count,
            ..*self
        }
    }

    /// `size` windows of the kind along rows and columns that begin with the input, and the shapes of input and
    /// output, of so many channels, that they go between.
    pub fn part(
        windows: [Self; 2],
        channels: [usize; 2],
        size: [usize; 2],
    ) -> ([Self; 2], [Vec<usize>; 2]) {
        let windows = [0, 1].map(|d| windows[d].first(size[d]));
        let shape = |k: usize, [height, width]: [usize; 2]| vec![1, channels[k], height, width];
        let input = shape(0, windows.map(|one| one.span()));
        (windows, [input, shape(1, size)])
    }

    /// The elements from which the windows `(first, last)` are made.
    pub fn region(&self, (first, last): (i64, i64)) -> (i64, i64) {
        let start = |window| window * self.stride as i64 - self.begin as i64;
        (start(first), start(last) + self.extent() as i64 - 1)
    }

    /// The windows that reach over any of the elements `(first, last)`, maybe beyond those that there are.
    pub fn touched(&self, (first, last): (i64, i64)) -> (i64, i64) {
        let stride = self.stride as i64;
        let before = first + self.begin as i64 - self.extent() as i64;
        // One behind the last window that ends before the first element.
        (
            before.div_euclid(stride) + 1,
            (last + self.begin as i64).div_euclid(stride),
        )
    }

    /// The windows of a convolution or pooling, along each spatial axis of `[n, c, ..]`.
    pub fn of(site: &Site, shape: &[usize], kernel: &[usize], ceil: bool) -> Result<Vec<Self>> {
        let axes = kernel.len();
        let lengths = &shape[2..];
        let strides = positive(site, "strides", axes)?;
        let dilations = positive(site, "dilations", axes)?;
        let pads = padding(site, axes)?;
        let auto = site.attribute_text("auto_pad", "NOTSET")?;
        let mut windows = Vec::new();
        for axis in 0..axes {
            let mut one = Self {
                kernel: kernel[axis],
                stride: strides[axis],
                dilation: dilations[axis],
                ..Self::POINT
            };
            let length = lengths[axis];
            let extent = (one.kernel - 1)
                .checked_mul(one.dilation)
                .and_then(|n| n.checked_add(1));
            let extent = extent
                .filter(|&extent| extent <= 1 << 24)
                .ok_or_else(|| site.error("a window is too large"))?;
            let [begin, end] = match auto.as_str() {
                "NOTSET" => pads[axis],
                "VALID" => [0, 0],
                "SAME_UPPER" | "SAME_LOWER" => {
                    let count = length.div_ceil(one.stride);
                    let all = ((count.max(1) - 1) * one.stride + extent).saturating_sub(length);
                    let less = all / 2;
                    match auto.as_str() {
                        "SAME_UPPER" => [less, all - less],
                        _ => [all - less, less],
                    }
                }
                other => return Err(site.error(format!("auto_pad = {other} is not known"))),
            };
            one.begin = begin;
            let Some(room) = (length + begin + end).checked_sub(extent) else {
                return Err(site.error(format!(
                    "a window of {extent} elements does not fit into {length} with {begin} before and \
                     {end} behind: give larger images"
                )));
            };
            one.count = room / one.stride + 1;
            // A window more where one would be cut off, if it begins before the padding at the end.
            if ceil && room % one.stride != 0 && one.count * one.stride < length + begin {
                one.count += 1;
            }
            windows.push(one);
        }
        Ok(windows)
    }
}

/// Lengths that are at least 1, one for each spatial axis; 1 if not given.
pub fn positive(site: &Site, name: &str, axes: usize) -> Result<Vec<usize>> {
    let Some(given) = site.attribute_integers(name)? else {
        return Ok(vec![1; axes]);
    };
    let lengths: Option<Vec<usize>> = given
        .iter()
        .map(|&n| {
            usize::try_from(n)
                .ok()
                .filter(|&n| (1..=1 << 24).contains(&n))
        })
        .collect();
    match lengths {
        Some(lengths) if lengths.len() == axes => Ok(lengths),
        _ => Err(site.error(format!(
            "{name} = {given:?} must be {axes} positive numbers"
        ))),
    }
}

/// `[begin, end]` of each spatial axis.
pub fn padding(site: &Site, axes: usize) -> Result<Vec<[usize; 2]>> {
    let Some(given) = site.attribute_integers("pads")? else {
        return Ok(vec![[0, 0]; axes]);
    };
    let pads: Option<Vec<usize>> = given
        .iter()
        .map(|&n| usize::try_from(n).ok().filter(|&n| n <= 1 << 24))
        .collect();
    match pads {
        Some(pads) if pads.len() == 2 * axes => Ok((0..axes)
            .map(|axis| [pads[axis], pads[axis + axes]])
            .collect()),
        _ => Err(site.error(format!(
            "pads = {given:?} must be {} numbers that are not negative",
            2 * axes
        ))),
    }
}

/// The lengths of a kernel as the file gives them.
pub fn kernel_shape(site: &Site, axes: usize) -> Result<Option<Vec<usize>>> {
    match site.has("kernel_shape") {
        true => positive(site, "kernel_shape", axes).map(Some),
        false => Ok(None),
    }
}

/// The number of spatial axes of `[n, c, ..]`: one or two.
pub fn spatial_axes(site: &Site, shape: &[usize]) -> Result<usize> {
    match shape.len() {
        3 => Ok(1),
        4 => Ok(2),
        rank => Err(site.error(format!(
            "it works on {} spatial axes; one and two are supported",
            rank.saturating_sub(2)
        ))),
    }
}

/// One or two axes as two.
pub fn in_plane(mut windows: Vec<Windows>) -> [Windows; 2] {
    let last = windows.pop().unwrap_or(Windows::POINT);
    [windows.pop().unwrap_or(Windows::POINT), last]
}

/// `[n, c, (rows,) columns]` as `[n, c, rows, columns]`.
pub fn plane_shape(shape: &[usize]) -> [usize; 4] {
    match *shape {
        [n, c, h, w] => [n, c, h, w],
        [n, c, w] => [n, c, 1, w],
        _ => unreachable!("the number of axes was checked when the operator was made"),
    }
}

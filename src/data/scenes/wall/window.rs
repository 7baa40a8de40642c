//! Windows: the opening in the wall, what surrounds it, and what the glass shows.

use super::{Head, Wall};
use crate::data::scenes::painter::{Rgb, hash, mix, ramp, rgb, scale};

impl Wall {
    /// One bay of a storey: the window with its sill, head, shutters and what the glass shows.
    pub(super) fn window_bay(&self, bare: Rgb, cell: [f64; 2], u: f64, v: f64) -> Rgb {
        let (w, h) = self.window;
        let (low, half) = (0.23 * self.storey, 0.5 * w);
        let high = low + h;
        let inside = opening(u, v, half, low, high, self.arched);
        if inside < 0.0 {
            return self.glass(cell, u, v, [half, low, high], inside, self.arched);
        }
        if u.abs() < half + 0.2 && (low - 0.2..low).contains(&v) {
            return scale(self.trim, 1.0);
        }
        let fall = u + 0.1 * self.sun;
        if fall.abs() < half + 0.2 && (low - 0.5..low - 0.2).contains(&v) {
            return scale(bare, 0.5 + 0.4 * ramp(low - 0.2, low - 0.5, v));
        }
        if let Some(colour) = self.shutter
            && (half + 0.04..half + 0.04 + 0.62 * w).contains(&u.abs())
            && (low..high).contains(&v)
        {
            let edge = (u.abs() - half - 0.04).min(half + 0.04 + 0.62 * w - u.abs());
            let slat = (v / 0.2).fract();
            return scale(colour, if edge < 0.1 { 1.1 } else { 0.6 + 0.6 * slat });
        }
        let over = v - high;
        let reach = half + 0.3;
        match self.head {
            Head::Gable if over > 0.14 && u.abs() < reach => {
                let slope = over - 0.14 - 0.36 * (1.0 - u.abs() / reach);
                match slope {
                    s if s < -0.13 && over > 0.24 => scale(self.trim, 0.66),
                    s if s < 0.0 => self.trim,
                    _ => bare,
                }
            }
            Head::Lintel if (0.1..0.36).contains(&over) && u.abs() < reach => self.trim,
            Head::Lintel if (0.0..0.1).contains(&over) && u.abs() < reach => scale(bare, 0.6),
            _ if inside < 0.16 && v > low => scale(self.trim, 0.92),
            _ => bare,
        }
    }

    /// Frame, bars and glass; `inside` is minus the distance from the edge of the opening.
    pub(super) fn glass(
        &self,
        cell: [f64; 2],
        u: f64,
        v: f64,
        [half, low, high]: [f64; 3],
        inside: f64,
        arched: bool,
    ) -> Rgb {
        // The wall is thick: its edge shades the window on the side of the sun and above.
        let reveal = opening(u + 0.16 * self.sun, v + 0.16, half, low, high, arched) > -0.02;
        let light = if reveal { 0.42 } else { 1.0 };
        let (across, up) = ((u + half) / (2.0 * half), (v - low) / (high - low));
        let near = |t: f64, n: f64, length: f64| {
            let t = t * n;
            (t - t.round()).abs() * length / n
        };
        let bar = near(across, self.panes.0, 2.0 * half).min(near(up, self.panes.1, high - low));
        if inside > -0.1 || bar < 0.045 {
            return scale(self.frame, light);
        }
        let chance = hash(cell[0], cell[1], self.seed);
        let dark = mix(rgb(0.10, 0.12, 0.15), rgb(0.24, 0.28, 0.33), up);
        let pane = match chance {
            // The sky, in the upper part along a slanted edge.
            c if c < 0.55 => {
                let edge = up + 0.5 * across - 0.4 - 0.9 * c;
                mix(dark, rgb(0.62, 0.74, 0.86), 0.85 * ramp(-0.03, 0.03, edge))
            }
            // Curtains, drawn aside.
            c if c < 0.8 => {
                let open = 0.22 + 0.35 * up * up;
                let fold = 0.75 + 0.25 * ((across * 14.0).fract() - 0.5).abs();
                let drawn = (across - 0.5).abs() > 0.5 - open;
                if drawn {
                    scale(rgb(0.86, 0.83, 0.76), fold)
                } else {
                    dark
                }
            }
            // A blind, partly down.
            c if up > 4.0 * (c - 0.8) => rgb(0.80, 0.76, 0.66),
            _ => dark,
        };
        scale(pane, light)
    }
}

/// How far outside of an opening a place is (inside: minus the distance from the edge). The upper
/// end is a half circle if `arched`.
pub fn opening(u: f64, v: f64, half: f64, low: f64, high: f64, arched: bool) -> f64 {
    let spring = high - half;
    let side = (u.abs() - half).max(low - v);
    if arched && v > spring {
        return (u * u + (v - spring) * (v - spring)).sqrt() - half;
    }
    if arched { side } else { side.max(v - high) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openings_by_hand() {
        assert_eq!(opening(0.0, 1.5, 0.5, 1.0, 3.0, false), -0.5);
        assert_eq!(opening(0.75, 2.0, 0.5, 1.0, 3.0, true), 0.25);
        assert_eq!(opening(0.0, 3.25, 0.5, 1.0, 3.0, false), 0.25);
        // The corner of the rectangle is outside the arch: sqrt(0.4^2 + 0.3^2) - 0.5.
        assert!(opening(0.4, 2.8, 0.5, 1.0, 3.0, true).abs() < 1e-15);
        assert!(opening(0.45, 2.95, 0.5, 1.0, 3.0, true) > 0.0);
    }
}

//! Still lifes: fruit on a table in front of a wall.

use super::painter::{Canvas, Dice, P2, Rgb, along, dot, hash, mix, noise, ramp, rgb, scale, turn};
use super::place::Place;
use super::solid::Light;
use super::{bunch, fruit, vessel};

/// Paints a table, a wall behind it and up to seven things on it.
pub fn paint(canvas: &mut Canvas, dice: &mut Dice) {
    let half = canvas.half();
    let horizon = dice.between(-0.45, -0.05);
    let side = dice.pick([-1.0, 1.0]);
    let from = [
        side * dice.between(0.45, 0.75),
        dice.between(-0.8, -0.55),
        0.65,
    ];
    wall(canvas, horizon, side, dice);
    let top = table(canvas, horizon, dice);
    let light = Light::new(from, top);

    // What stands farther back is painted first, so that the nearer hides it.
    let size = dice.between(0.27, 0.42);
    let feet = scatter(half, horizon, size, dice);
    let last = feet.len() - 1;
    for (k, foot) in feet.into_iter().enumerate() {
        let near = 1.0 + 0.45 * (foot[1] - horizon - 0.3);
        let size = size * near * dice.between(0.88, 1.12);
        let place = Place {
            foot,
            size,
            light: &light,
        };
        match dice.below(if k == last { 13 } else { 16 }) {
            0..3 => fruit::apple(canvas, place, dice),
            3..5 => fruit::orange(canvas, place, dice),
            5..7 => fruit::pear(canvas, place, dice),
            7 => fruit::lemon(canvas, place, dice),
            8 => fruit::plum(canvas, place, dice),
            9..11 => bunch::grapes(canvas, place, dice),
            11 => bunch::bananas(canvas, place, dice),
            12 => fruit::half_citrus(canvas, place, dice),
            13 => vessel::bottle(canvas, place, dice),
            _ => vessel::bowl(canvas, place, dice),
        }
    }
}

/// Places on the table, from back to front, that do not stand too close to each other.
fn scatter(half: P2, horizon: f64, size: f64, dice: &mut Dice) -> Vec<P2> {
    let wanted = 4 + dice.below(4);
    let mut feet: Vec<P2> = vec![[
        dice.between(-0.4, 0.4) * half[0],
        dice.between(0.45, 0.7) * half[1],
    ]];
    for _ in 0..60 {
        let foot = [
            dice.between(-0.9, 0.9) * half[0],
            dice.between(horizon + 0.22, half[1] * 0.97),
        ];
        let apart = |other: &P2| {
            let d = along(foot, -1.0, *other);
            dot([d[0], 1.6 * d[1]], [d[0], 1.6 * d[1]]).sqrt() > 1.5 * size
        };
        if feet.len() < wanted && feet.iter().all(apart) {
            feet.push(foot);
        }
    }
    feet.sort_by(|a, b| a[1].total_cmp(&b[1]));
    feet
}

/// The wall, lit from one side: plain, panelled, tiled, or with the light of a window on it.
fn wall(canvas: &mut Canvas, horizon: f64, side: f64, dice: &mut Dice) {
    let base = dice.pick([
        rgb(0.62, 0.58, 0.50),
        rgb(0.42, 0.50, 0.54),
        rgb(0.52, 0.36, 0.28),
        rgb(0.34, 0.38, 0.30),
        rgb(0.74, 0.70, 0.62),
    ]);
    let (base, stain) = (dice.vary(base, 0.15), dice.seed());
    let pattern = dice.below(4);
    let (unit_size, axis) = (dice.between(0.3, 0.5), turn(dice.between(-0.35, 0.35)));
    let shift = dice.between(-0.3, 0.3);
    canvas.cover(|p, _| {
        let glow = 0.72 + 0.30 * ramp(-1.3, 1.3, side * p[0] - 0.6 * p[1]);
        let cloud = 0.9 + 0.2 * noise(1.7 * p[0], 1.7 * p[1], stain);
        let plain = scale(base, glow * cloud);
        let y = p[1] - horizon;
        match pattern {
            0 => {
                // Boards, each of its own tone, with a groove between them.
                let x = p[0] / unit_size;
                let groove = (x - x.floor() - 0.5).abs();
                let tone = 0.85 + 0.3 * hash(x.floor(), 0.0, stain);
                scale(plain, tone * (1.0 - 0.55 * ramp(0.45, 0.48, groove)))
            }
            1 => {
                let (x, y) = (p[0] / unit_size, y / unit_size);
                let joint = (x - x.floor() - 0.5).abs().max((y - y.floor() - 0.5).abs());
                let tone = 0.9 + 0.2 * hash(x.floor(), y.floor(), stain);
                mix(
                    scale(plain, tone),
                    scale(base, 1.5),
                    ramp(0.45, 0.47, joint),
                )
            }
            2 => {
                // Two panes of sunlight, slanted.
                let q = [p[0] + side * 0.7 * p[1] + shift, y + 0.75];
                let pane = q[0].abs() < 0.42 && q[0].abs() > 0.03 && q[1].abs() < 0.4;
                scale(plain, if pane { 1.6 } else { 0.8 })
            }
            _ => {
                // A curtain: folds that lean.
                let x = dot(p, axis) / unit_size;
                let fold = noise(2.0 * x, 0.3 * y, stain) + 0.35 * noise(5.0 * x, 0.0, stain);
                scale(plain, 0.5 + 0.75 * fold)
            }
        }
    });
}

/// The table top: wood, checked cloth or stone. Gives back its mean colour.
fn table(canvas: &mut Canvas, horizon: f64, dice: &mut Dice) -> Rgb {
    let (kind, grain) = (dice.below(3), dice.seed());
    let (light, dark) = match kind {
        0 => dice.pick([
            (rgb(0.66, 0.46, 0.28), rgb(0.48, 0.30, 0.17)),
            (rgb(0.50, 0.33, 0.22), rgb(0.34, 0.21, 0.14)),
        ]),
        1 => dice.pick([
            (rgb(0.93, 0.91, 0.86), rgb(0.72, 0.22, 0.20)),
            (rgb(0.92, 0.92, 0.90), rgb(0.32, 0.42, 0.62)),
            (rgb(0.90, 0.86, 0.70), rgb(0.52, 0.58, 0.34)),
        ]),
        _ => (rgb(0.86, 0.84, 0.82), rgb(0.66, 0.66, 0.68)),
    };
    let axis = turn(dice.between(-0.4, 0.4));
    let (density, drift) = (dice.between(2.4, 3.6), dice.between(-2.0, 2.0));
    let tilt = dice.between(-0.06, 0.06);
    canvas.cover(|p, under| {
        let y = p[1] - horizon - tilt * p[0];
        if y < 0.0 {
            // The wall is darker where it meets the table.
            return scale(under, 1.0 - 0.35 * ramp(-0.12, 0.0, y));
        }
        // Depth falls off with the distance below the horizon of the table plane.
        let depth = 1.0 / (y + 0.55);
        let ground = [p[0] * depth, 1.6 * depth];
        let q = [
            dot(ground, axis) * density + drift,
            dot(ground, [-axis[1], axis[0]]) * density,
        ];
        let albedo = match kind {
            0 => {
                let plank = (q[0] * 0.8).floor();
                let gap = (q[0] * 0.8 - plank - 0.5).abs();
                let fibre = noise(
                    9.0 * q[0],
                    1.2 * q[1] + 7.0 * hash(plank, 1.0, grain),
                    grain,
                );
                let tone = 0.3 * hash(plank, 0.0, grain) + 0.7 * fibre;
                scale(mix(dark, light, tone), 1.0 - 0.6 * ramp(0.46, 0.485, gap))
            }
            1 => {
                // Woven checks: where two bands cross, the colour is full.
                let band = |x: f64| if x - x.floor() < 0.5 { 0.5 } else { 0.0 };
                let rumple = 0.86 + 0.24 * noise(1.3 * q[0], 1.3 * q[1], grain);
                scale(mix(light, dark, band(q[0]) + band(q[1])), rumple)
            }
            _ => {
                let wave = noise(1.5 * q[0], 1.5 * q[1], grain)
                    + 0.4 * noise(4.0 * q[0], 4.0 * q[1], grain);
                mix(light, dark, ramp(0.16, 0.0, (wave - 0.7).abs()))
            }
        };
        scale(albedo, 0.62 + 0.25 * ramp(0.0, 1.0, y))
    });
    mix(light, dark, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything must leave a mark where it stands, and none far from there.
    #[test]
    fn things_are_painted_where_they_stand() {
        type Paint = fn(&mut Canvas, Place, &mut Dice);
        let all: [Paint; 10] = [
            fruit::apple,
            fruit::orange,
            fruit::lemon,
            fruit::pear,
            fruit::plum,
            fruit::half_citrus,
            bunch::grapes,
            bunch::bananas,
            vessel::bottle,
            vessel::bowl,
        ];
        let light = Light::new([-0.5, -0.7, 0.6], [0.5; 3]);
        for (k, paint) in all.into_iter().enumerate() {
            let mut canvas = Canvas::new(40, 40);
            canvas.cover(|_, _| [0.5; 3]);
            let blank = 0.5_f32.sqrt();
            let place = Place {
                foot: [0.0, 0.5],
                size: 0.3,
                light: &light,
            };
            paint(&mut canvas, place, &mut Dice::new(1, k as u64));
            let image = canvas.finish();
            let changed = |i: usize, j: usize| (image.plane(2)[i * 40 + j] - blank).abs() > 0.02;
            let marks = (0..1600).filter(|n| changed(n / 40, n % 40)).count();
            assert!((60..900).contains(&marks), "thing {k}: {marks}");
            assert!(!changed(1, 20) && !changed(38, 38), "thing {k}");
        }
    }
}

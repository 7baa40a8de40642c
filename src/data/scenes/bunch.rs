//! Fruit that hangs together: grapes and bananas.

use super::painter::{
    Canvas, Dice, P2, Rgb, along, dot, mix, noise, quarter, ramp, rgb, scale, unit,
};
use super::place::{BROWN, Place, twig};
use super::solid::{Light, ball};

/// A heap of grapes.
pub fn grapes(canvas: &mut Canvas, place: Place, dice: &mut Dice) {
    let skin = dice.pick([
        rgb(0.30, 0.12, 0.34),
        rgb(0.60, 0.68, 0.28),
        rgb(0.52, 0.14, 0.22),
    ]);
    place.shadow(canvas, 1.25);
    let r = 0.27 * place.size;
    let side = dice.pick([-1.0, 1.0]);
    let top = [
        place.foot[0] - 0.9 * side * place.size,
        place.foot[1] - 1.5 * place.size,
    ];
    twig(
        canvas,
        top,
        along(top, 1.0, [0.6 * side * place.size, 0.4 * place.size]),
        0.06 * place.size,
        place.light,
        BROWN,
    );
    // Rows from the top down: a heap that is highest in the middle.
    for row in (0..5).rev() {
        let berries = 6 - row;
        for k in 0..berries {
            let x =
                (k as f64 - 0.5 * (berries as f64 - 1.0)) * 1.5 * r + dice.between(-0.3, 0.3) * r;
            let foot = [
                place.foot[0] + x,
                place.foot[1] - 1.25 * r * row as f64 + dice.between(-0.35, 0.2) * r,
            ];
            let berry = Place {
                foot,
                size: r * dice.between(0.95, 1.15),
                ..place
            };
            let tone = dice.vary(skin, 0.25);
            let body = berry.body([1.0, 1.05], dice.between(-0.4, 0.4), ball);
            // A rim of shade parts the berry from those behind it.
            canvas.paint(body.centre, 1.25 * r, |p, under| {
                let d = along(p, -1.0, body.centre);
                scale(under, ramp(0.9, 1.25, dot(d, d).sqrt() / r))
            });
            berry.solid(canvas, &body, 0.7, |hit| {
                Some(mix(
                    scale(tone, 0.9),
                    scale(tone, 1.9),
                    ramp(0.2, 1.0, hit.normal[1]),
                ))
            });
        }
    }
}

/// Two or three bananas that grew from one stem.
pub fn bananas(canvas: &mut Canvas, place: Place, dice: &mut Dice) {
    let (spots, side) = (dice.seed(), dice.pick([-1.0, 1.0]));
    let peel = dice.vary(rgb(0.94, 0.78, 0.20), 0.08);
    let size = 1.25 * place.size;
    Place { size, ..place }.shadow(canvas, 0.95);
    let root = [
        place.foot[0] - 1.0 * side * size,
        place.foot[1] - 1.0 * size,
    ];
    let count = 2 + dice.below(2);
    for k in 0..count {
        let lift = 0.34 * (count - 1 - k) as f64 * size;
        let bend = [
            place.foot[0] - 0.35 * side * size,
            place.foot[1] + (0.30 * size - lift),
        ];
        let tip = [
            place.foot[0] + side * size * dice.between(0.95, 1.15),
            place.foot[1] - size * dice.between(0.35, 0.6) - 0.8 * lift,
        ];
        banana(
            canvas,
            [root, bend, tip],
            0.21 * size,
            place.light,
            peel,
            spots.wrapping_add(k as u32),
        );
    }
}

/// A curved fruit along the quadratic curve with the three given points.
fn banana(
    canvas: &mut Canvas,
    [a, b, c]: [P2; 3],
    thick: f64,
    light: &Light,
    peel: Rgb,
    spots: u32,
) {
    const STEPS: usize = 40;
    let place = |s: f64| {
        let ab = along(a, s, along(b, -1.0, a));
        let bc = along(b, s, along(c, -1.0, b));
        (along(ab, s, along(bc, -1.0, ab)), unit(along(bc, -1.0, ab)))
    };
    let spine: [(P2, P2); STEPS + 1] = std::array::from_fn(|k| place(k as f64 / STEPS as f64));
    let middle = spine[STEPS / 2].0;
    canvas.paint(middle, 8.0 * thick, |p, under| {
        let mut best = (f64::INFINITY, 0, 0.0);
        for (k, (q, tangent)) in spine.iter().enumerate() {
            let d = along(p, -1.0, *q);
            let square = dot(d, d);
            if square < best.0 && (dot(d, *tangent).abs() < thick) {
                best = (square, k, dot(d, quarter(*tangent)));
            }
        }
        let (square, k, offset) = best;
        let s = k as f64 / STEPS as f64;
        let ends = (2.0 * s - 1.0) * (2.0 * s - 1.0);
        let half = thick * (1.0 - 0.72 * ends * ends * ends);
        if square.sqrt() >= half {
            return under;
        }
        let across = (offset / half).clamp(-1.0, 1.0);
        // Flat sides with blunt ridges between them.
        let facet = ((across * 1.5 + 0.5).floor() / 1.5).clamp(-0.75, 0.75);
        let tilt = 0.55 * facet + 0.4 * across;
        let side = quarter(spine[k].1);
        let normal = unit([
            side[0] * tilt,
            side[1] * tilt,
            (1.0 - tilt * tilt).max(0.05).sqrt(),
        ]);
        let spot = noise(60.0 * p[0], 60.0 * p[1], spots) * noise(23.0 * p[0], 23.0 * p[1], spots);
        let ripe = if spot > 0.55 { scale(peel, 0.45) } else { peel };
        let green = mix(ripe, rgb(0.62, 0.68, 0.22), ramp(0.25, 0.05, s));
        let end = ramp(0.93, 0.98, s).max(ramp(0.06, 0.01, s));
        light.shade(mix(green, BROWN, end), normal, 0.12)
    });
}

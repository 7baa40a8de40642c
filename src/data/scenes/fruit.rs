//! Single fruit, each painted where it stands.

use super::painter::{
    Canvas, Dice, P2, along, dot, hash, mix, noise, quarter, ramp, rgb, scale, turn, unit,
};
use super::place::{BROWN, Place, twig};
use super::solid::{Hit, Light, ball};

/// A pointed leaf from `a` along `axis`, with a lighter midrib.
fn leaf(canvas: &mut Canvas, a: P2, axis: P2, length: f64, light: &Light) {
    let side = quarter(axis);
    canvas.paint(a, length, |p, under| {
        let q = along(p, -1.0, a);
        let t = dot(q, axis) / length;
        let s = dot(q, side) / length - 0.25 * t * (1.0 - t);
        let half = 0.9 * t * (1.0 - t);
        if !(0.0..1.0).contains(&t) || s.abs() >= half {
            return under;
        }
        let albedo = if s.abs() < 0.03 {
            rgb(0.62, 0.72, 0.36)
        } else {
            rgb(0.24, 0.46, 0.17)
        };
        let fold = if s > 0.0 { 0.45 } else { -0.45 };
        light.shade(albedo, unit([side[0] * fold, side[1] * fold, 1.0]), 0.15)
    });
}

/// An apple, perhaps with a leaf.
pub fn apple(canvas: &mut Canvas, place: Place, dice: &mut Dice) {
    let red = dice.pick([
        rgb(0.78, 0.12, 0.12),
        rgb(0.62, 0.08, 0.14),
        rgb(0.52, 0.70, 0.18),
        rgb(0.86, 0.30, 0.16),
    ]);
    let (red, streaks) = (dice.vary(red, 0.15), dice.seed());
    let pale = rgb(0.84, 0.76, 0.34);
    place.shadow(canvas, 0.95);
    let body = place.body([1.0, 0.93], dice.between(-0.12, 0.12), |t| {
        // Broad shoulders, a narrow foot.
        ball(t) * (1.0 + 0.10 * t) + 0.05 * ball(t) * ball(t)
    });
    let dip = |hit: &Hit| {
        let s = hit.across * ball(hit.along);
        let (u, v) = (s / 0.42, (hit.along - 0.84) / 0.2);
        u * u + v * v
    };
    place.solid(canvas, &body, 0.55, |hit| {
        let s = hit.across * ball(hit.along);
        // The dip of the stem shows in the outline.
        if hit.along > 0.95 + 0.3 * s * s {
            return None;
        }
        let streak = noise(9.0 * hit.across + 0.5, 2.0 * hit.along, streaks);
        let blush = ramp(0.35, 1.0, hit.along + 0.5 * streak - 0.25);
        let skin = mix(red, pale, 0.15 * streak + 0.55 * blush);
        let shaded = 1.0 - 0.72 * ramp(1.0, 0.1, dip(hit));
        Some(scale(skin, shaded))
    });
    let (root, tip) = (
        body.point(0.0, 0.80),
        body.point(dice.between(-0.2, 0.25), 1.28),
    );
    twig(canvas, root, tip, 0.05 * place.size, place.light, BROWN);
    if dice.chance(0.4) {
        let side = dice.pick([-1.0, 1.0]);
        let axis = unit([side, dice.between(-0.7, -0.1)]);
        leaf(canvas, root, axis, 0.8 * place.size, place.light);
    }
}

/// An orange with its pores.
pub fn orange(canvas: &mut Canvas, place: Place, dice: &mut Dice) {
    let peel = dice.vary(rgb(0.95, 0.52, 0.10), 0.1);
    let pores = dice.seed();
    place.shadow(canvas, 0.95);
    let body = place.body([0.97, 0.92], dice.between(-0.3, 0.3), ball);
    let (u, v) = (dice.between(-0.4, 0.4), dice.between(0.45, 0.7));
    place.solid(canvas, &body, 0.3, |hit| {
        let s = hit.across * ball(hit.along);
        // Pores crowd towards the outline, as on a ball.
        let (x, y) = (hit.normal[0] * (1.3 - 0.3 * hit.normal[2]), hit.normal[1]);
        let pore = noise(17.0 * x, 17.0 * y, pores);
        let knot = ((s - u) * (s - u) + (hit.along - v) * (hit.along - v)).sqrt();
        let skin = scale(peel, 0.78 + 0.4 * pore);
        Some(mix(rgb(0.25, 0.30, 0.10), skin, ramp(0.05, 0.12, knot)))
    });
}

/// A lemon, lying on its side.
pub fn lemon(canvas: &mut Canvas, place: Place, dice: &mut Dice) {
    let (peel, pores) = (dice.vary(rgb(0.96, 0.84, 0.20), 0.08), dice.seed());
    let lean = dice.between(0.55, 0.95) * dice.pick([-1.0, 1.0]);
    place.shadow(canvas, 1.1);
    let mut body = place.body([0.72, 1.1], lean, |t| {
        // A ball with a knob at each end.
        let knob = (1.0 - t.abs()).max(0.0).sqrt() * 0.42;
        ball((t / 0.88).clamp(-1.0, 1.0)).max(knob)
    });
    body.centre[1] = place.foot[1] - 0.78 * place.size;
    place.solid(canvas, &body, 0.4, |hit| {
        let pore = noise(13.0 * hit.across, 15.0 * hit.along, pores);
        let skin = scale(peel, 0.85 + 0.25 * pore);
        Some(mix(
            skin,
            rgb(0.62, 0.66, 0.18),
            ramp(0.8, 1.0, hit.along.abs()),
        ))
    });
}

/// A pear with a red cheek.
pub fn pear(canvas: &mut Canvas, place: Place, dice: &mut Dice) {
    let green = dice.pick([
        rgb(0.70, 0.72, 0.22),
        rgb(0.84, 0.72, 0.28),
        rgb(0.55, 0.62, 0.20),
    ]);
    let (blush, freckles) = (rgb(0.80, 0.36, 0.18), dice.seed());
    let lit = dice.pick([-1.0, 1.0]);
    place.shadow(canvas, 0.85);
    let body = place.body([0.86, 1.3], dice.between(-0.22, 0.22), |t| {
        // The belly is a ball; the neck above the waist is about half as wide.
        ball(t) * (1.0 - 0.57 * ramp(-0.5, 0.55, t))
    });
    place.solid(canvas, &body, 0.3, |hit| {
        let cheek = ramp(0.1, 1.1, lit * hit.across - 0.3 * hit.along);
        let freckle = noise(22.0 * hit.across, 30.0 * hit.along, freckles);
        let skin = mix(green, blush, 0.8 * cheek);
        Some(scale(skin, if freckle > 0.8 { 0.72 } else { 1.0 }))
    });
    let (root, tip) = (
        body.point(0.0, 0.94),
        body.point(dice.between(-0.3, 0.3), 1.3),
    );
    twig(canvas, root, tip, 0.05 * place.size, place.light, BROWN);
}

/// A plum or an apricot.
pub fn plum(canvas: &mut Canvas, place: Place, dice: &mut Dice) {
    let skin = dice.pick([
        rgb(0.34, 0.12, 0.32),
        rgb(0.26, 0.14, 0.40),
        rgb(0.90, 0.52, 0.32),
    ]);
    let (bloom, seam) = (dice.seed(), dice.between(-0.5, 0.5));
    let small = Place {
        size: 0.75 * place.size,
        ..place
    };
    small.shadow(canvas, 0.95);
    let body = small.body([0.9, 1.0], dice.between(-0.5, 0.5), ball);
    small.solid(canvas, &body, 0.45, |hit| {
        let dust = ramp(0.4, 0.8, noise(3.0 * hit.across, 3.0 * hit.along, bloom));
        let dusty = mix(skin, rgb(0.55, 0.52, 0.66), 0.3 * dust);
        let crease = (hit.across - seam).abs() / (0.10 + 0.1 * ball(hit.along));
        Some(scale(dusty, 0.45 + 0.55 * ramp(0.0, 0.8, crease)))
    });
}

/// Half an orange or lemon, its cut face towards the eye.
pub fn half_citrus(canvas: &mut Canvas, place: Place, dice: &mut Dice) {
    let (peel, pulp) = dice.pick([
        (rgb(0.95, 0.52, 0.10), rgb(0.98, 0.62, 0.16)),
        (rgb(0.94, 0.82, 0.20), rgb(0.96, 0.88, 0.45)),
        (rgb(0.90, 0.45, 0.20), rgb(0.85, 0.28, 0.20)),
    ]);
    let pith = rgb(0.97, 0.93, 0.78);
    let (grain, start) = (dice.seed(), turn(dice.between(-0.2, 0.2)));
    let light = place.light;
    place.shadow(canvas, 0.95);
    let centre = [place.foot[0], place.foot[1] - 0.86 * place.size];
    let squeeze = dice.between(0.86, 0.98);
    canvas.paint(centre, 1.1 * place.size, |p, under| {
        let d = along(p, -1.0, centre).map(|v| v / place.size);
        let d = [d[0], d[1] / squeeze];
        let r = dot(d, d).sqrt();
        if r >= 1.0 {
            return under;
        }
        // Membranes every 36 degrees.
        let mut ray = start;
        let mut gap = f64::INFINITY;
        for _ in 0..5 {
            gap = gap.min(dot(d, quarter(ray)).abs());
            ray = along(ray.map(|v| v * 0.809_016_994), 0.587_785_252, quarter(ray));
        }
        let drops = noise(14.0 * d[0], 14.0 * d[1], grain) * hash((9.0 * r).floor(), 0.0, grain);
        let flesh = scale(pulp, 0.75 + 0.5 * drops);
        let wall = ramp(0.05, 0.025, gap).max(ramp(0.11, 0.08, r));
        let albedo = match r {
            r if r > 0.93 => peel,
            r if r > 0.83 => pith,
            _ => mix(flesh, pith, wall),
        };
        light.shade(albedo, unit([0.25 * d[0], -0.35 + 0.2 * d[1], 1.0]), 0.0)
    });
}

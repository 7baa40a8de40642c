//! Fruit, a bottle and a bowl, each painted where it stands.

use super::painter::{
    Canvas, Dice, P2, Rgb, along, dot, hash, mix, noise, quarter, ramp, rgb, scale, turn, unit,
};
use super::solid::{Hit, Lathe, Light, ball};

const BROWN: Rgb = rgb(0.32, 0.22, 0.12);

/// Where a thing stands on the table, how large it is, and in what light.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The middle of its foot.
    pub foot: P2,
    /// About half its height.
    pub size: f64,
    pub light: &'a Light,
}

impl Place<'_> {
    /// A soft shadow around the foot, longer on the side that the lamp does not reach.
    pub fn shadow(&self, canvas: &mut Canvas, width: f64) {
        let reach = self.size * width;
        let slide = -self.light.from[0] * 0.75 * reach;
        let centre = [self.foot[0] + slide, self.foot[1] - 0.06 * self.size];
        let squash = 0.32;
        canvas.paint(centre, 1.9 * reach, |p, under| {
            let d = along(p, -1.0, centre);
            let soft = dot([d[0] / 1.5, d[1] / squash], [d[0] / 1.5, d[1] / squash]).sqrt() / reach;
            let near = along(p, -1.0, self.foot);
            let contact = dot([near[0], near[1] / 0.3], [near[0], near[1] / 0.3]).sqrt() / reach;
            let dark = 0.62 * ramp(1.15, 0.45, soft);
            let dark = dark.max(0.75 * ramp(1.0, 0.35, contact));
            scale(under, 1.0 - dark)
        });
    }

    /// An upright body of the given half sides, leaning a little.
    fn body<F: Fn(f64) -> f64>(&self, half: P2, lean: f64, profile: F) -> Lathe<F> {
        let [c, s] = turn(lean);
        Lathe {
            centre: [self.foot[0], self.foot[1] - half[1] * self.size],
            up: [s, -c],
            half_height: half[1] * self.size,
            half_width: half[0] * self.size,
            profile,
        }
    }

    /// Paints a body with the colour and gloss that `skin` gives to each point of it.
    fn solid<F: Fn(f64) -> f64>(
        &self,
        canvas: &mut Canvas,
        body: &Lathe<F>,
        gloss: f64,
        skin: impl Fn(&Hit) -> Option<Rgb>,
    ) {
        canvas.paint(body.centre, body.reach(), |p, under| {
            let Some(hit) = body.hit(p) else {
                return under;
            };
            skin(&hit).map_or(under, |albedo| self.light.shade(albedo, hit.normal, gloss))
        });
    }
}

/// A round twig from `a` to `b`.
fn twig(canvas: &mut Canvas, a: P2, b: P2, radius: f64, light: &Light, colour: Rgb) {
    let d = along(b, -1.0, a);
    let length = dot(d, d).sqrt();
    let (axis, side) = (unit(d), quarter(unit(d)));
    canvas.paint(a, length + radius, |p, under| {
        let q = along(p, -1.0, a);
        let (t, s) = (dot(q, axis) / length, dot(q, side) / radius);
        if !(0.0..1.0).contains(&t) || s.abs() >= 1.0 {
            return under;
        }
        let normal = [side[0] * s, side[1] * s, (1.0 - s * s).sqrt()];
        light.shade(colour, normal, 0.0)
    });
}

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
            spots + k as u32,
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

/// A glass bottle with a label.
pub fn bottle(canvas: &mut Canvas, place: Place, dice: &mut Dice) {
    let glass = dice.pick([
        rgb(0.12, 0.26, 0.16),
        rgb(0.36, 0.20, 0.10),
        rgb(0.20, 0.32, 0.42),
    ]);
    let paper = dice.vary(rgb(0.86, 0.80, 0.66), 0.1);
    place.shadow(canvas, 0.8);
    let (neck, shoulder) = (dice.between(0.3, 0.42), dice.between(0.1, 0.35));
    let body = place.body([0.62, 2.1], 0.0, |t| {
        let lip = if t > 0.9 { 1.25 } else { 1.0 };
        let foot = ball((-0.93 - t).max(0.0) / 0.07 * 0.6);
        foot * (1.0 + (neck * lip - 1.0) * ramp(shoulder - 0.25, shoulder + 0.25, t))
    });
    place.solid(canvas, &body, 0.9, |hit| {
        let label = (hit.along + 0.4).abs() < 0.26;
        let line = (hit.along + 0.4).abs() > 0.21 || (hit.along + 0.44).abs() < 0.05;
        let shine = ramp(0.12, 0.0, (hit.across + 0.62).abs());
        Some(match (label, line) {
            (true, true) => scale(paper, 0.5),
            (true, false) => paper,
            _ => mix(glass, rgb(0.8, 0.85, 0.85), 0.6 * shine),
        })
    });
}

/// A bowl, filled with round fruit.
pub fn bowl(canvas: &mut Canvas, place: Place, dice: &mut Dice) {
    let glaze = dice.pick([
        rgb(0.84, 0.86, 0.88),
        rgb(0.26, 0.38, 0.58),
        rgb(0.66, 0.34, 0.20),
    ]);
    let band = dice.pick([rgb(0.20, 0.30, 0.55), rgb(0.90, 0.86, 0.72)]);
    let size = 1.05 * place.size;
    Place { size, ..place }.shadow(canvas, 1.1);
    let rim = [place.foot[0], place.foot[1] - 1.05 * size];
    let (wide, flat) = (1.4 * size, 0.36 * size);
    let radius = |p: P2| {
        let d = along(p, -1.0, rim);
        dot([d[0] / wide, d[1] / flat], [d[0] / wide, d[1] / flat]).sqrt()
    };
    let light = place.light;
    canvas.paint(rim, 1.1 * wide, |p, under| match radius(p) {
        r if r > 1.0 => under,
        r if r > 0.93 => scale(glaze, 0.95),
        _ => scale(
            glaze,
            0.12 + 0.25 * ramp(-1.0, 1.0, -light.from[0] * (p[0] - rim[0]) / wide),
        ),
    });
    for (x, y) in [
        (-0.5, -0.05),
        (0.5, -0.05),
        (0.0, -0.12),
        (-0.3, 0.22),
        (0.32, 0.24),
    ] {
        let foot = [rim[0] + x * wide, rim[1] + y * size + 0.28 * size];
        let inside = Place {
            foot,
            size: 0.5 * size,
            light,
        };
        match dice.below(3) {
            0 => orange(canvas, inside, dice),
            1 => plum(canvas, inside, dice),
            _ => apple(canvas, inside, dice),
        }
    }
    let body = Lathe {
        centre: [rim[0], rim[1] + 0.52 * size],
        up: [0.0, -1.0],
        half_height: 0.56 * size,
        half_width: wide,
        profile: |t: f64| 0.34 + 0.66 * (0.5 * (t + 1.0)).max(0.0).sqrt(),
    };
    canvas.paint(body.centre, 1.2 * wide, |p, under| {
        // In front of the rim only: the fruit shows above it.
        let front = p[1] > rim[1] && radius(p) > 0.96;
        match body.hit(p) {
            Some(hit) if front => {
                // Bands follow the ellipse of the rim.
                let level = hit.along + 0.3 * (1.0 - hit.across * hit.across).sqrt();
                let lip = radius(p) < 1.06;
                let albedo = if !lip && (level - 0.35).abs() < 0.12 {
                    band
                } else {
                    glaze
                };
                light.shade(albedo, hit.normal, 0.6)
            }
            _ => under,
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every fruit must leave a mark about where it stands, and none far from there.
    #[test]
    fn fruit_is_painted_where_it_stands() {
        type Paint = fn(&mut Canvas, Place, &mut Dice);
        let all: [Paint; 8] = [
            apple,
            orange,
            lemon,
            pear,
            plum,
            grapes,
            bananas,
            half_citrus,
        ];
        let light = Light::new([-0.5, -0.7, 0.6], [0.5; 3]);
        for (k, paint) in all.into_iter().enumerate() {
            let mut canvas = Canvas::new(40, 40);
            canvas.cover(|_, _| [0.5; 3]);
            let blank = 0.5_f32.sqrt();
            let place = Place {
                foot: [0.0, 0.3],
                size: 0.3,
                light: &light,
            };
            paint(&mut canvas, place, &mut Dice::new(1, k as u64));
            let image = canvas.finish();
            let changed = |i: usize, j: usize| (image.plane(2)[i * 40 + j] - blank).abs() > 0.02;
            let marks = (0..1600).filter(|n| changed(n / 40, n % 40)).count();
            assert!((60..900).contains(&marks), "fruit {k}: {marks}");
            assert!(!changed(1, 20) && !changed(38, 38), "fruit {k}");
        }
    }
}

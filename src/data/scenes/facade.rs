//! Facades: a row of houses along a street, or the corner of one house, seen in perspective.

use super::painter::{
    Canvas, Dice, P2, P3, Rgb, along, dot, hash, mix, noise, ramp, rgb, scale, turn, unit,
};
use super::wall::Wall;

/// A house that fronts the street at depth 0, from `left` on. Behind it lies its roof.
struct House {
    left: f64,
    wall: Wall,
    /// The wall around the corner and whether it is the right one, if it can be seen.
    side: Option<(Wall, bool)>,
    /// Rise of the roof per metre of depth; zero for a flat one.
    slope: f64,
    tiles: Rgb,
    chimneys: [f64; 2],
}

/// Depth of the roof from the street to its ridge, and how far it overhangs.
const RIDGE: f64 = 4.5;
const EAVES: f64 = 0.45;

/// Where a ray meets something first: how far away, and in which colour.
struct Nearest {
    distance: f64,
    colour: Rgb,
}

impl Nearest {
    /// Takes the colour made by `paint` if `distance` is in front of the eye and nearer.
    fn offer(&mut self, distance: f64, paint: impl FnOnce() -> Option<Rgb>) {
        if distance > 1e-6
            && distance < self.distance
            && let Some(colour) = paint()
        {
            *self = Self { distance, colour };
        }
    }
}

/// The sun, the sky and the street.
struct Weather {
    sun: f64,
    top: Rgb,
    low: Rgb,
    clouds: u32,
    cover: f64,
    street: Rgb,
    /// A shadow that falls over the front from across the street: height and slope of its edge.
    shadow: Option<(f64, f64)>,
}

/// Paints houses along a street, or one at a corner.
pub fn paint(canvas: &mut Canvas, dice: &mut Dice) {
    let sun = dice.pick([-1.0, 1.0]);
    let corner = dice.chance(0.4);
    let storeys = 2 + dice.below(3);
    let houses = if corner {
        vec![corner_house(storeys, sun, dice)]
    } else {
        row_of_houses(storeys, sun, dice)
    };
    let (top, low) = dice.pick([
        (rgb(0.36, 0.56, 0.82), rgb(0.76, 0.85, 0.92)),
        (rgb(0.52, 0.62, 0.74), rgb(0.86, 0.84, 0.80)),
        (rgb(0.30, 0.44, 0.70), rgb(0.94, 0.80, 0.66)),
    ]);
    let weather = Weather {
        sun,
        top,
        low,
        clouds: dice.seed(),
        cover: dice.between(0.45, 0.75),
        street: dice.vary(rgb(0.52, 0.50, 0.48), 0.15),
        shadow: dice
            .chance(0.5)
            .then(|| (dice.between(0.5, 7.0), dice.between(-0.6, 0.6))),
    };
    let camera = Camera::new(&houses[0], corner, dice);
    canvas.cover(|p, _| {
        let ray = camera.ray(p);
        look(&houses, &weather, camera.eye, ray)
    });
}

fn corner_house(storeys: usize, sun: f64, dice: &mut Dice) -> House {
    let width = dice.between(8.0, 12.0);
    let mut house = House::new(0.0, Wall::new(width, storeys, sun, dice), dice);
    let right = dice.chance(0.5);
    house.side = Some((house.wall.around_the_corner(2.0 * RIDGE), right));
    house
}

fn row_of_houses(storeys: usize, sun: f64, dice: &mut Dice) -> Vec<House> {
    let width = dice.between(7.0, 11.0);
    let first = House::new(0.0, Wall::new(width, storeys, sun, dice), dice);
    let mut houses = vec![first];
    let (mut left, mut right) = (0.0, width);
    for _ in 0..3 {
        for to_the_right in [true, false] {
            let width = dice.between(5.5, 10.0);
            let floors = (storeys + dice.below(3)).saturating_sub(1).max(1);
            let wall = Wall::new(width, floors, sun, dice);
            let at = if to_the_right { right } else { left - width };
            houses.push(House::new(at, wall, dice));
            (left, right) = (left.min(at), right.max(at + width));
        }
    }
    houses
}

impl House {
    fn new(left: f64, wall: Wall, dice: &mut Dice) -> Self {
        let chimney = |dice: &mut Dice| left + wall.width * dice.between(0.1, 0.85);
        Self {
            left,
            side: None,
            slope: dice.pick([0.0, 0.5, 0.8, 1.1]),
            tiles: dice.pick([
                rgb(0.58, 0.30, 0.22),
                rgb(0.36, 0.36, 0.40),
                rgb(0.46, 0.34, 0.28),
            ]),
            chimneys: [chimney(dice), chimney(dice)],
            wall,
        }
    }
}

/// An eye and the directions of the picture.
struct Camera {
    eye: P3,
    ahead: P3,
    right: P3,
    down: P3,
    zoom: f64,
}

impl Camera {
    /// Looks at some part of the house from the street, from close by or from afar.
    fn new(house: &House, corner: bool, dice: &mut Dice) -> Self {
        let (w, h) = (house.wall.width, house.wall.height);
        let span = dice.between(0.45, 1.15) * h.max(0.7 * w);
        let away = dice.between(0.9, 1.6) * span + 3.0;
        let mut target = [
            w * dice.between(0.3, 0.7),
            (h * dice.between(0.35, 0.75)).max(0.42 * span),
            0.0,
        ];
        let mut eye = [
            target[0] + away * dice.between(-0.85, 0.85),
            dice.between(1.6, 5.0),
            -away,
        ];
        if let (true, Some((_, right))) = (corner, &house.side) {
            let x = if *right { w } else { 0.0 };
            let out = if *right { 1.0 } else { -1.0 };
            target[0] = x - out * w * dice.between(0.0, 0.2);
            eye = [
                x + out * away * dice.between(0.5, 0.95),
                eye[1],
                -0.9 * away,
            ];
        }
        let ahead = unit(along(target, -1.0, eye));
        let right = unit([ahead[2], 0.0, -ahead[0]]);
        let up = [
            ahead[1] * right[2] - ahead[2] * right[1],
            ahead[2] * right[0] - ahead[0] * right[2],
            ahead[0] * right[1] - ahead[1] * right[0],
        ];
        let [c, s] = turn(dice.between(-0.05, 0.05));
        let distance = dot(along(target, -1.0, eye), ahead);
        Self {
            eye,
            ahead,
            right: along(right.map(|v| v * c), s, up),
            down: along(up.map(|v| -v * c), s, right),
            zoom: 0.5 * span / distance,
        }
    }

    fn ray(&self, p: P2) -> P3 {
        let sideways = along(self.ahead, p[0] * self.zoom, self.right);
        unit(along(sideways, p[1] * self.zoom, self.down))
    }
}

fn look(houses: &[House], weather: &Weather, eye: P3, ray: P3) -> Rgb {
    let mut nearest = Nearest {
        distance: f64::INFINITY,
        colour: weather.sky(ray),
    };
    nearest.offer(-eye[1] / ray[1], || {
        let at = along(eye, -eye[1] / ray[1], ray);
        Some(weather.ground(at))
    });
    for house in houses {
        house.meet(weather, eye, ray, &mut nearest);
    }
    nearest.colour
}

impl House {
    fn meet(&self, weather: &Weather, eye: P3, ray: P3, nearest: &mut Nearest) {
        let (width, height) = (self.wall.width, self.wall.height);
        let front = -eye[2] / ray[2];
        nearest.offer(front, || {
            let [x, y, _] = along(eye, front, ray);
            let on_wall = (0.0..width).contains(&(x - self.left)) && (0.0..height).contains(&y);
            on_wall.then(|| {
                let light = weather.light(x, y);
                scale(self.wall.colour(x - self.left, y), light)
            })
        });
        // The ends of the house, up to the gable: the open corner has windows.
        for (x, right) in [(self.left, false), (self.left + width, true)] {
            let end = (x - eye[0]) / ray[0];
            nearest.offer(end, || {
                let [_, y, z] = along(eye, end, ray);
                let gable = height + self.slope * z.min(2.0 * RIDGE - z);
                if !(0.0..2.0 * RIDGE).contains(&z) || !(0.0..gable).contains(&y) {
                    return None;
                }
                let shade = if (weather.sun > 0.0) == right {
                    0.95
                } else {
                    0.5
                };
                let bare = scale(self.wall.colour(0.02, height - 1.2), shade);
                Some(match &self.side {
                    Some((wall, open)) if *open == right && y < height && z < wall.width => {
                        scale(wall.colour(z, y), shade)
                    }
                    _ => bare,
                })
            });
        }
        self.roof(eye, ray, nearest);
    }

    fn roof(&self, eye: P3, ray: P3, nearest: &mut Nearest) {
        let (width, height) = (self.wall.width, self.wall.height);
        if self.slope == 0.0 {
            return;
        }
        let facing = ray[1] - self.slope * ray[2];
        let plane = (height + self.slope * eye[2] - eye[1]) / facing;
        nearest.offer(plane, || {
            let [x, _, z] = along(eye, plane, ray);
            let x = x - self.left;
            let overhang = if self.side.is_some() { EAVES } else { 0.0 };
            if !(-EAVES..RIDGE).contains(&z) || !(-overhang..width + overhang).contains(&x) {
                return None;
            }
            // From below one sees the boards of the eaves.
            if facing > 0.0 {
                return Some(scale(self.tiles, 0.3));
            }
            let row = (z / 0.5).floor();
            let column = x / 0.6 + 0.5 * row;
            let tone = 0.8 + 0.35 * hash(column.floor(), row, 3);
            let lap = ramp(0.0, 0.3, z / 0.5 - row).max(0.45);
            let gutter = if z < 0.12 - EAVES { 0.5 } else { 1.0 };
            Some(scale(self.tiles, tone * lap * gutter))
        });
        let stack = (0.6 * RIDGE - eye[2]) / ray[2];
        nearest.offer(stack, || {
            let [x, y, _] = along(eye, stack, ray);
            let top = height + self.slope * RIDGE + 1.0;
            let hit = self.chimneys.iter().any(|c| (0.0..1.0).contains(&(x - c)));
            (hit && (height..top).contains(&y)).then(|| {
                let cap = if top - y < 0.3 { 0.8 } else { 0.55 };
                scale(rgb(0.62, 0.42, 0.34), cap)
            })
        });
    }
}

impl Weather {
    /// The light on the front at a place: less in the shadow from across the street.
    fn light(&self, x: f64, y: f64) -> f64 {
        match self.shadow {
            Some((edge, slope)) if y < edge + slope * x => 0.5,
            _ => 1.05,
        }
    }

    fn sky(&self, ray: P3) -> Rgb {
        let clear = mix(self.low, self.top, ramp(0.0, 0.8, ray[1]));
        let (x, y) = (
            3.0 * ray[0] / (ray[1].abs() + 0.3),
            3.0 / (ray[1].abs() + 0.3),
        );
        let cloud = (0..3).fold(0.0, |sum, k| {
            let size = f64::from(1 << k);
            sum + noise(size * x, size * y, self.clouds.wrapping_add(k)) / (size * 1.75)
        });
        mix(
            clear,
            rgb(0.97, 0.96, 0.95),
            ramp(self.cover, self.cover + 0.25, cloud),
        )
    }

    /// Paving in front of the houses, a kerb, and the road.
    fn ground(&self, at: P3) -> Rgb {
        let [x, _, z] = at;
        let joint = |t: f64| (t - t.floor() - 0.5).abs() > 0.46;
        match -z {
            d if d < 2.6 => {
                let slab = hash((x / 1.2).floor(), (z / 0.9).floor(), self.clouds);
                let joint = joint(x / 1.2) || joint(z / 0.9);
                scale(self.street, if joint { 0.55 } else { 0.9 + 0.25 * slab })
            }
            d if d < 2.9 => scale(self.street, 1.5),
            _ => scale(
                self.street,
                0.42 + 0.12 * noise(2.0 * x, 2.0 * z, self.clouds),
            ),
        }
    }
}

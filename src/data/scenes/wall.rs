//! The front of a house as a flat picture: colour as a function of the place on the wall.
//!
//! Lengths are in metres; `x` runs along the wall to the right, `y` up from the street.

mod window;

use super::painter::{Dice, Rgb, hash, noise, ramp, rgb, scale};
use window::opening;

/// What the wall is made of.
#[derive(Clone, Copy, PartialEq)]
enum Material {
    Plaster,
    Brick,
    Stone,
}

/// What stands above a window.
#[derive(Clone, Copy, PartialEq)]
enum Head {
    Plain,
    Lintel,
    Gable,
}

/// The plan of a front: storeys above a ground floor, and the same bay all along.
#[derive(Clone)]
pub struct Wall {
    pub width: f64,
    pub height: f64,
    bays: f64,
    ground: f64,
    storey: f64,
    material: Material,
    base: Rgb,
    trim: Rgb,
    frame: Rgb,
    shutter: Option<Rgb>,
    window: (f64, f64),
    arched: bool,
    head: Head,
    /// Every how many storeys there is a balcony; 0 for none.
    balcony: usize,
    panes: (f64, f64),
    /// In which bay the door is.
    door: f64,
    arcade: bool,
    quoins: bool,
    /// The side that the sun shines from: -1 left, 1 right.
    sun: f64,
    seed: u32,
}

impl Wall {
    /// A wall of about `width` metres with the given number of storeys above the ground floor.
    pub fn new(width: f64, storeys: usize, sun: f64, dice: &mut Dice) -> Self {
        let material = dice.pick([Material::Plaster, Material::Brick, Material::Stone]);
        let base = match material {
            Material::Brick => dice.pick([
                rgb(0.62, 0.32, 0.24),
                rgb(0.52, 0.30, 0.26),
                rgb(0.70, 0.52, 0.38),
            ]),
            Material::Stone => dice.pick([rgb(0.74, 0.70, 0.62), rgb(0.62, 0.61, 0.60)]),
            Material::Plaster => dice.pick([
                rgb(0.86, 0.76, 0.56),
                rgb(0.80, 0.58, 0.46),
                rgb(0.70, 0.76, 0.70),
                rgb(0.66, 0.72, 0.80),
                rgb(0.90, 0.88, 0.82),
            ]),
        };
        let bays = (width / dice.between(2.5, 3.3)).round().max(2.0);
        let (ground, storey) = (dice.between(3.6, 4.4), dice.between(2.9, 3.5));
        let bay = width / bays;
        let shutters = dice.chance(0.3);
        let glass = bay
            * if shutters {
                0.34
            } else {
                dice.between(0.38, 0.52)
            };
        Self {
            width,
            height: ground + storey * storeys as f64 + 0.9,
            bays,
            ground,
            storey,
            material,
            base: dice.vary(base, 0.12),
            trim: dice.pick([
                rgb(0.92, 0.90, 0.84),
                rgb(0.80, 0.76, 0.68),
                rgb(0.62, 0.56, 0.50),
            ]),
            frame: dice.pick([
                rgb(0.95, 0.95, 0.93),
                rgb(0.30, 0.24, 0.20),
                rgb(0.24, 0.34, 0.30),
            ]),
            shutter: shutters.then(|| {
                dice.pick([
                    rgb(0.22, 0.40, 0.34),
                    rgb(0.30, 0.38, 0.52),
                    rgb(0.46, 0.26, 0.20),
                ])
            }),
            window: (glass, storey * dice.between(0.46, 0.56)),
            arched: dice.chance(0.35),
            head: dice.pick([Head::Plain, Head::Lintel, Head::Gable]),
            balcony: dice.pick([0, 0, 1, 2]),
            panes: dice.pick([(2.0, 2.0), (2.0, 3.0), (1.0, 2.0), (3.0, 4.0)]),
            door: dice.between(0.0, bays).floor(),
            arcade: dice.chance(0.4),
            quoins: dice.chance(0.5),
            sun,
            seed: dice.seed(),
        }
    }

    /// The same house around the corner, where the wall has another width.
    pub fn around_the_corner(&self, width: f64) -> Self {
        let bay = self.width / self.bays;
        let bays = (width / bay).round().max(1.0);
        Self {
            width: bays * bay,
            bays,
            door: -1.0,
            seed: self.seed ^ 1,
            ..self.clone()
        }
    }

    /// The colour of the wall at `x` in `0 .. width` and `y` in `0 .. height`, in full light.
    pub fn colour(&self, x: f64, y: f64) -> Rgb {
        let bay = self.width / self.bays;
        let column = (x / bay).floor().clamp(0.0, self.bays - 1.0);
        let u = x - (column + 0.5) * bay;
        if y > self.height - 0.9 {
            return self.cornice(x, self.height - y);
        }
        let bare = scale(self.stone(x, y), self.shelter(y));
        if y < self.ground {
            return self.ground_floor(bare, column, u, y, bay);
        }
        let floor = ((y - self.ground) / self.storey).floor();
        let v = y - self.ground - floor * self.storey;
        let here = self.window_bay(bare, [column, floor + 1.0], u, v);
        if self.has_balcony(floor) {
            self.railing(here, u, v, bay)
        } else {
            here
        }
    }

    fn has_balcony(&self, floor: f64) -> bool {
        self.balcony > 0 && (floor as usize).is_multiple_of(self.balcony)
    }

    /// Bare masonry, with string courses and corner stones.
    fn stone(&self, x: f64, y: f64) -> Rgb {
        let stain = 0.9 + 0.2 * noise(0.4 * x, 0.6 * y, self.seed);
        let masonry = |course: f64, length: f64, contrast: f64| {
            let row = (y / course).floor();
            let place = x / length + (0.5 * row).fract();
            let brick = hash(place.floor(), row, self.seed);
            let edge = (y / course - row).min((place - place.floor()) * length / course);
            let joint = 1.0 - contrast * ramp(0.22, 0.12, edge);
            scale(
                self.base,
                stain * joint * (1.0 - 0.35 * contrast + 0.7 * contrast * brick),
            )
        };
        let face = match self.material {
            Material::Plaster => scale(self.base, stain),
            Material::Brick => masonry(0.28, 0.8, 0.42),
            Material::Stone => masonry(0.6, 1.3, 0.3),
        };
        let corner = x.min(self.width - x);
        let long = if y.fract() < 0.5 { 0.75 } else { 0.45 };
        if self.quoins && corner < long {
            return scale(
                self.trim,
                if (y / 0.5).fract() < 0.14 { 0.55 } else { 0.92 },
            );
        }
        match (y - self.ground).rem_euclid(self.storey) {
            d if y > self.ground - 0.3 && d > self.storey - 0.2 => scale(self.trim, 0.95),
            d if y > self.ground - 0.6 && d > self.storey - 0.34 => scale(face, 0.6),
            _ => face,
        }
    }

    /// The shadow of the cornice.
    fn shelter(&self, y: f64) -> f64 {
        let below = self.height - 0.9 - y;
        0.55 + 0.45 * ramp(0.35, 0.55, below)
    }

    /// The cornice, by the distance below its upper edge: a slab, dentils, a moulding.
    fn cornice(&self, x: f64, below: f64) -> Rgb {
        let dentil = (x / 0.55).fract() < 0.55;
        let shade = match below {
            d if d < 0.3 => 1.0,
            d if d < 0.38 => 0.5,
            d if d < 0.68 && dentil => 0.9,
            d if d < 0.68 => 0.32,
            _ => 0.78,
        };
        scale(self.trim, shade)
    }

    /// The slab and the bars of a balcony, from the floor of its storey up.
    fn railing(&self, behind: Rgb, u: f64, v: f64, bay: f64) -> Rgb {
        let half = 0.42 * bay;
        let iron = rgb(0.16, 0.16, 0.17);
        if u.abs() > half {
            return behind;
        }
        match v {
            v if v < 0.22 => scale(self.trim, 0.95),
            v if (0.95..1.07).contains(&v) => iron,
            v if v < 1.0 && (half - u.abs() < 0.07 || (u / 0.3).rem_euclid(1.0) < 0.3) => iron,
            v if v < 1.0 => scale(behind, 0.7),
            _ => behind,
        }
    }

    /// Door, shop windows or arcade.
    fn ground_floor(&self, bare: Rgb, column: f64, u: f64, y: f64, bay: f64) -> Rgb {
        if self.has_balcony(0.0)
            && y > self.ground - 0.55
            && (u + 0.1 * self.sun).abs() < 0.44 * bay
        {
            return scale(bare, 0.45);
        }
        let rough = if (y / 0.62).fract() < 0.12 {
            0.68
        } else {
            0.92
        };
        let bare = if self.material == Material::Brick {
            bare
        } else {
            scale(bare, rough)
        };
        if y < 0.5 {
            return scale(self.trim, 0.55);
        }
        let is_door = column == self.door;
        let half = bay
            * if self.arcade {
                0.36
            } else if is_door {
                0.24
            } else {
                0.32
            };
        let low = if is_door { 0.5 } else { 1.1 };
        let high = self.ground - 0.75;
        let inside = opening(u, y, half, low, high, self.arcade);
        match inside {
            d if d >= 0.2 => bare,
            d if d >= 0.0 => scale(self.trim, 0.9),
            d if is_door && y < high - half => {
                let panel = (u.abs() - 0.5 * half).abs() < 0.27 * half && (y / 0.9).fract() > 0.25;
                let wood = self.shutter.unwrap_or(rgb(0.36, 0.22, 0.14));
                scale(
                    wood,
                    if d > -0.09 || u.abs() < 0.03 {
                        0.4
                    } else if panel {
                        0.75
                    } else {
                        1.1
                    },
                )
            }
            d => self.glass([column, 0.0], u, y, [half, low, high], d, self.arcade),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_on_a_wall_has_a_colour() {
        for stream in 0..20 {
            let wall = Wall::new(9.0, 3, 1.0, &mut Dice::new(5, stream));
            for k in 0..2500 {
                let (x, y) = ((k % 50) as f64 / 50.0, (k / 50) as f64 / 50.0);
                let colour = wall.colour(x * wall.width, y * wall.height);
                assert!(colour.iter().all(|v| (0.0..2.0).contains(v)), "{colour:?}");
            }
        }
    }
}

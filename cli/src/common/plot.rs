//! Panels with lines, points and error bars, written as SVG.
//!
//! Axes are drawn here, on the drawing area's pixels: ticks of a logarithmic axis should be round numbers within a
//! decade too, and a dash pattern has to be cut from a line by hand.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use scall_gpu::text::printable;

/// A colour as red, green, blue.
pub type Rgb = (u8, u8, u8);

const INK: Rgb = (0x22, 0x22, 0x22);
const INK_PAINT: RGBColor = RGBColor(INK.0, INK.1, INK.2);
const GRID: Rgb = (0xe4, 0xe4, 0xe4);
const TITLE_SIZE: i32 = 24;
const TEXT_SIZE: i32 = 20;
const SMALL_SIZE: i32 = 18;
/// Pixels between a line of text and the next.
const LINE: i32 = 26;

type Canvas<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// How a line is drawn: pixels on, pixels off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dash {
    Solid,
    Long,
    Short,
    Dotted,
}

impl Dash {
    fn pattern(self) -> (f64, f64) {
        match self {
            Self::Solid => (f64::INFINITY, 0.0),
            Self::Long => (14.0, 6.0),
            Self::Short => (7.0, 5.0),
            Self::Dotted => (2.0, 5.0),
        }
    }
}

/// What stands at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    None,
    Circle,
    Square,
    Triangle,
    Diamond,
}

/// A value, with an error bar where `spread` is above 0. `shift` moves it sideways, in pixels, out of another's way.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    pub x: f64,
    pub y: f64,
    pub spread: f64,
    pub shift: i32,
}

impl Point {
    pub fn new(x: f64, y: f64) -> Self {
        Self { x, y, spread: 0.0, shift: 0 }
    }
}

/// A line through points. One without a single point has its place in the legend alone.
#[derive(Clone, Debug)]
pub struct Series {
    pub name: String,
    pub color: Rgb,
    pub dash: Dash,
    pub marker: Marker,
    pub points: Vec<Point>,
    /// A level across the whole panel instead of a line through points.
    pub level: Option<f64>,
}

/// An axis from the least to the largest value that it has to show.
#[derive(Clone, Debug)]
pub struct Axis {
    pub label: String,
    /// Begins at 0.
    pub zero: bool,
    /// Ticks at whole numbers only.
    pub whole: bool,
    /// Logarithmic where the values span more than a factor of 3.
    pub logarithmic: bool,
}

impl Axis {
    pub fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), zero: false, whole: false, logarithmic: false }
    }
}

#[derive(Clone, Debug)]
pub struct Panel {
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
}

/// Panels side by side under a title.
#[derive(Clone, Debug)]
pub struct Figure {
    pub title: String,
    /// Smaller, below the title.
    pub notes: Vec<String>,
    pub panels: Vec<Panel>,
    /// One legend for all panels, to their right, by the first one's series; else one below each.
    pub shared_legend: bool,
}

impl Figure {
    /// The figure as SVG.
    pub fn svg(&self) -> String {
        let mut svg = String::new();
        let legend = if self.shared_legend { 270 } else { 0 };
        let most = self.panels.iter().map(|panel| panel.series.len() as i32).max().unwrap_or(0);
        let below = if self.shared_legend { 0 } else { most * LINE + 12 };
        let head = 52 + LINE * self.notes.len() as i32;
        let height = head + 500.max(if self.shared_legend { most * LINE + 80 } else { 0 }) + below;
        let width = 560 * self.panels.len() as i32 + legend;
        let drawn = (|| {
            let canvas = SVGBackend::with_string(&mut svg, (width as u32, height as u32)).into_drawing_area();
            canvas.fill(&WHITE)?;
            text(&canvas, &self.title, (24, 16), TITLE_SIZE, (HPos::Left, VPos::Top))?;
            for (k, note) in self.notes.iter().enumerate() {
                text(&canvas, note, (24, 48 + LINE * k as i32), SMALL_SIZE, (HPos::Left, VPos::Top))?;
            }
            for (k, panel) in self.panels.iter().enumerate() {
                let left = 560 * k as i32;
                let frame = Frame { left: left + 92, right: left + 536, top: head + 40, bottom: height - below - 76 };
                panel.draw(&canvas, frame)?;
                if !self.shared_legend {
                    panel.draw_legend(&canvas, (left + 92, height - below))?;
                }
            }
            if let Some(first) = self.panels.first().filter(|_| self.shared_legend) {
                first.draw_legend(&canvas, (width - legend + 16, head + 40))?;
            }
            canvas.present()
        })();
        drawn.expect("drawn into memory");
        svg
    }
}

/// Where a panel's axes lie, in pixels.
#[derive(Clone, Copy)]
struct Frame {
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
}

/// From values to pixels.
struct Scale {
    logarithmic: bool,
    values: (f64, f64),
    pixels: (i32, i32),
}

impl Scale {
    /// With room for all `values`, and ticks at round ones.
    fn new(axis: &Axis, values: impl Iterator<Item = f64> + Clone, pixels: (i32, i32)) -> (Self, Vec<f64>) {
        let finite = values.filter(|value| value.is_finite());
        let (mut low, mut high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        let logarithmic = axis.logarithmic && low > 0.0 && high > 3.0 * low;
        if logarithmic {
            let margin = (high / low).powf(0.06);
            (low, high) = (low / margin, high * margin);
        } else {
            if axis.zero {
                low = low.min(0.0);
            }
            // A lone value stands in the middle.
            let margin = if high > low { 0.06 * (high - low) } else { 0.1 * high.abs().max(1e-9) };
            (low, high) = (if axis.zero { low } else { low - margin }, high + margin);
        }
        let scale = Self { logarithmic, values: (low, high), pixels };
        let ticks = if logarithmic { log_ticks(low, high) } else { linear_ticks(low, high, axis.whole) };
        (scale, ticks)
    }

    fn pixel(&self, value: f64) -> i32 {
        let on = |value: f64| if self.logarithmic { value.ln() } else { value };
        let (low, high) = (on(self.values.0), on(self.values.1));
        let part = ((on(value) - low) / (high - low)).clamp(-1.0, 2.0);
        self.pixels.0 + (part * f64::from(self.pixels.1 - self.pixels.0)).round() as i32
    }
}

/// About five multiples of 1, 2 or 5 times a power of ten.
fn linear_ticks(low: f64, high: f64, whole: bool) -> Vec<f64> {
    let power = 10f64.powf(((high - low) / 5.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    let mut step = steps.into_iter().find(|step| (high - low) / step <= 6.0).unwrap_or(steps[3]);
    if whole {
        step = step.max(1.0);
    }
    let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
    (first..=last).map(|k| k as f64 * step).collect()
}

/// Round numbers times the powers of ten: as few kinds as give four ticks.
fn log_ticks(low: f64, high: f64) -> Vec<f64> {
    const FACTORS: [&[f64]; 3] = [&[1.0], &[1.0, 2.0, 5.0], &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0]];
    let powers = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let ticks = |factors: &'static [f64]| {
        let all = powers.clone().flat_map(move |power| factors.iter().map(move |factor| factor * 10f64.powi(power)));
        all.filter(|tick| (low..=high).contains(tick)).collect::<Vec<_>>()
    };
    FACTORS.map(ticks).into_iter().reduce(|few, more| if few.len() < 4 { more } else { few }).unwrap_or_default()
}

/// Numbers of an axis, with the decimals that its ticks need.
fn tick_labels(ticks: &[f64]) -> Vec<String> {
    let needs = |decimals: usize| {
        ticks.iter().all(|tick| {
            let shown: f64 = format!("{tick:.decimals$}").parse().unwrap_or(f64::NAN);
            (shown - tick).abs() <= 1e-6 * tick.abs()
        })
    };
    let decimals = (0..8).find(|&decimals| needs(decimals)).unwrap_or(8);
    ticks.iter().map(|tick| format!("{tick:.decimals$}")).collect()
}

impl Panel {
    fn draw(&self, canvas: &Canvas<'_>, frame: Frame) -> Drawn {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let levels = self.series.iter().filter_map(|series| series.level);
        let ys = points().flat_map(|point| [point.y - point.spread, point.y + point.spread]).chain(levels);
        // Points that are moved aside stay within the axes.
        let aside = points().map(|point| point.shift.abs()).max().unwrap_or(0);
        let across = (frame.left + aside, frame.right - aside);
        let (x, x_ticks) = Scale::new(&self.x, points().map(|point| point.x), across);
        let (y, y_ticks) = Scale::new(&self.y, ys, (frame.bottom, frame.top));

        for (tick, label) in x_ticks.iter().zip(tick_labels(&x_ticks)) {
            let at = x.pixel(*tick);
            line(canvas, [(at, frame.top), (at, frame.bottom)], GRID)?;
            text(canvas, &label, (at, frame.bottom + 10), SMALL_SIZE, (HPos::Center, VPos::Top))?;
        }
        for (tick, label) in y_ticks.iter().zip(tick_labels(&y_ticks)) {
            let at = y.pixel(*tick);
            line(canvas, [(frame.left, at), (frame.right, at)], GRID)?;
            text(canvas, &label, (frame.left - 8, at), SMALL_SIZE, (HPos::Right, VPos::Center))?;
        }
        line(canvas, [(frame.left, frame.bottom), (frame.right, frame.bottom)], INK)?;
        line(canvas, [(frame.left, frame.top), (frame.left, frame.bottom)], INK)?;
        text(canvas, &self.title, (frame.left, frame.top - 14), TEXT_SIZE, (HPos::Left, VPos::Bottom))?;
        let middle = (frame.left + frame.right) / 2;
        text(canvas, &self.x.label, (middle, frame.bottom + 40), SMALL_SIZE, (HPos::Center, VPos::Top))?;
        let label = style(SMALL_SIZE, (HPos::Center, VPos::Bottom)).transform(FontTransform::Rotate270);
        let middle = (frame.top + frame.bottom) / 2;
        canvas.draw(&Text::new(printable(&self.y.label), (frame.left - 68, middle), label))?;

        // Levels first: lines are drawn over them.
        for series in &self.series {
            if let Some(level) = series.level {
                let at = y.pixel(level);
                stroke(canvas, &[(frame.left, at), (frame.right, at)], series)?;
            }
        }
        for series in &self.series {
            let place = |point: &Point| (x.pixel(point.x) + point.shift, y.pixel(point.y));
            let places: Vec<_> = series.points.iter().filter(|point| point.y.is_finite()).map(place).collect();
            stroke(canvas, &places, series)?;
            for (point, at) in series.points.iter().filter(|point| point.y.is_finite()).zip(places) {
                if point.spread > 0.0 {
                    let ends = [y.pixel(point.y - point.spread), y.pixel(point.y + point.spread)];
                    line(canvas, ends.map(|end| (at.0, end)), series.color)?;
                    for end in ends {
                        line(canvas, [(at.0 - 4, end), (at.0 + 4, end)], series.color)?;
                    }
                }
                mark(canvas, at, series)?;
            }
        }
        Ok(())
    }

    fn draw_legend(&self, canvas: &Canvas<'_>, (left, top): (i32, i32)) -> Drawn {
        for (k, series) in self.series.iter().enumerate() {
            let at = top + 8 + LINE * k as i32;
            stroke_as(canvas, &[(left, at), (left + 40, at)], series.color, series.dash, 2)?;
            mark(canvas, (left + 20, at), series)?;
            text(canvas, &series.name, (left + 52, at), SMALL_SIZE, (HPos::Left, VPos::Center))?;
        }
        Ok(())
    }
}

fn paint((r, g, b): Rgb) -> RGBColor {
    RGBColor(r, g, b)
}

fn style(size: i32, (h_pos, v_pos): (HPos, VPos)) -> TextStyle<'static> {
    // Sizes here are those of the letters; the backend takes them for a line's.
    let font = ("sans-serif", f64::from(size) * 1.1).into_font();
    TextStyle::from(font).color(&INK_PAINT).pos(Pos::new(h_pos, v_pos))
}

fn text(canvas: &Canvas<'_>, words: &str, at: (i32, i32), size: i32, anchor: (HPos, VPos)) -> Drawn {
    // XML has no control characters, not even escaped.
    canvas.draw(&Text::new(printable(words), at, style(size, anchor)))
}

fn line(canvas: &Canvas<'_>, ends: [(i32, i32); 2], color: Rgb) -> Drawn {
    canvas.draw(&PathElement::new(ends.to_vec(), paint(color).stroke_width(1)))
}

/// A series' line: three pixels wide, which nothing else is.
fn stroke(canvas: &Canvas<'_>, places: &[(i32, i32)], series: &Series) -> Drawn {
    stroke_as(canvas, places, series.color, series.dash, if series.level.is_some() { 2 } else { 3 })
}

fn stroke_as(canvas: &Canvas<'_>, places: &[(i32, i32)], color: Rgb, dash: Dash, width: u32) -> Drawn {
    let paint = paint(color).stroke_width(width);
    if places.len() < 2 {
        return Ok(());
    }
    if dash == Dash::Solid {
        return canvas.draw(&PathElement::new(places.to_vec(), paint));
    }
    let (on, off) = dash.pattern();
    // How far along the pattern the last corner lay.
    let mut phase = 0.0;
    for ends in places.windows(2) {
        let [(x0, y0), (x1, y1)] = [ends[0], ends[1]].map(|(x, y)| (f64::from(x), f64::from(y)));
        let length = (x1 - x0).hypot(y1 - y0);
        let at = |way: f64| {
            let part = if length > 0.0 { way / length } else { 0.0 };
            ((x0 + part * (x1 - x0)).round() as i32, (y0 + part * (y1 - y0)).round() as i32)
        };
        let mut start = -phase;
        while start < length {
            let (from, to) = (start.max(0.0), (start + on).min(length));
            if to > from {
                canvas.draw(&PathElement::new(vec![at(from), at(to)], paint))?;
            }
            start += on + off;
        }
        phase = (phase + length) % (on + off);
    }
    Ok(())
}

fn mark(canvas: &Canvas<'_>, (x, y): (i32, i32), series: &Series) -> Drawn {
    let fill = paint(series.color).filled();
    match series.marker {
        Marker::None => Ok(()),
        Marker::Circle => canvas.draw(&Circle::new((x, y), 5, fill)),
        Marker::Square => canvas.draw(&Rectangle::new([(x - 5, y - 5), (x + 5, y + 5)], fill)),
        Marker::Triangle => canvas.draw(&Polygon::new(vec![(x - 6, y + 5), (x + 6, y + 5), (x, y - 6)], fill)),
        Marker::Diamond => canvas.draw(&Polygon::new(vec![(x - 6, y), (x, y - 7), (x + 6, y), (x, y + 7)], fill)),
    }
}

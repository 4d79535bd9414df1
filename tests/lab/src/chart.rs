//! Figures over time, as an SVG without any program to draw it.

use std::fmt::Write;
use std::time::Duration;

const WIDTH: f64 = 1200.0;
const LEFT: f64 = 60.0;
const ROW: f64 = 130.0;
const TOP: f64 = 40.0;

/// One curve.
struct Row {
    title: String,
    colour: String,
    points: Vec<(Duration, f64)>,
}

/// Curves below each other, with a mark for each thing that happened.
#[derive(Default)]
pub struct Chart {
    rows: Vec<Row>,
    marks: Vec<(Duration, String)>,
}

impl Chart {
    /// Nothing yet.
    pub fn new() -> Chart {
        Chart::default()
    }

    /// One more curve below the others.
    pub fn row(&mut self, title: &str, colour: &str, points: impl IntoIterator<Item = (Duration, f64)>) {
        self.rows.push(Row {
            title: title.into(),
            colour: colour.into(),
            points: points.into_iter().collect(),
        });
    }

    /// A line through all of them, which shows its name under the pointer.
    pub fn mark(&mut self, at: Duration, name: &str) {
        self.marks.push((at, name.into()));
    }

    /// The picture.
    pub fn draw(&self) -> String {
        let ends = self.rows.iter().filter_map(|row| row.points.last());
        let end = ends.map(|(at, _)| at.as_secs_f64()).fold(1.0, f64::max);
        let x = |at: f64| LEFT + (WIDTH - LEFT - 20.0) * at / end;
        let height = TOP + ROW * self.rows.len() as f64 + 30.0;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" \
             font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        );
        for (at, name) in &self.marks {
            let place = x(at.as_secs_f64());
            let _ = writeln!(
                svg,
                "<line x1=\"{place:.1}\" x2=\"{place:.1}\" y1=\"{TOP}\" y2=\"{:.1}\" stroke=\"#cbd5e0\"><title>{name}</title></line>",
                height - 30.0
            );
        }
        for (index, row) in self.rows.iter().enumerate() {
            row.draw(&mut svg, TOP + ROW * (index as f64 + 1.0) - 15.0, &x);
        }
        // A short run is told in seconds, a long one in minutes.
        let (step, unit) = if end < 180.0 { (10.0, 1.0) } else { (60.0, 60.0) };
        for tick in 0..=(end / step) as u32 {
            let at = f64::from(tick) * step;
            let name = if unit > 1.0 { "min" } else { "s" };
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\">{} {name}</text>",
                x(at),
                height - 15.0,
                at / unit
            );
        }
        svg + "</svg>\n"
    }
}

impl Row {
    fn draw(&self, svg: &mut String, base: f64, x: &impl Fn(f64) -> f64) {
        let Row { title, colour, points } = self;
        let highest = points.iter().map(|(_, value)| *value).fold(0.0, f64::max);
        let scale = if highest > 0.0 { highest } else { 1.0 };
        let mut places = String::new();
        for (at, value) in points {
            let y = base - (ROW - 40.0) * value / scale;
            let _ = write!(places, "{:.1},{y:.1} ", x(at.as_secs_f64()));
        }
        let _ = writeln!(svg, "<polyline fill=\"none\" stroke=\"{colour}\" points=\"{places}\"/>");
        let most = (highest * 10.0).round() / 10.0;
        let _ = writeln!(
            svg,
            "<text x=\"{LEFT}\" y=\"{:.1}\">{title} (most: {most})</text>",
            base - ROW + 32.0
        );
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{base:.1}\" y2=\"{base:.1}\" stroke=\"#4a5568\"/>",
            WIDTH - 20.0
        );
    }
}

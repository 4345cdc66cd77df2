//! Charts of values over steps, as coordinates for an inline SVG.

use serde::Serialize;

/// The drawing's width and height, and the margins that the labels need.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 22.0;
const EDGE: f64 = 8.0;
/// More points than this are averaged in groups, since the screen cannot show more.
const MOST_POINTS: usize = 500;

/// A chart with one or more lines.
#[derive(Debug, Serialize)]
pub struct Chart {
    title: &'static str,
    lines: Vec<ChartLine>,
    /// Labels beside the y axis, with their heights.
    y: Vec<Label>,
    /// Labels below the x axis, with their places.
    x: Vec<Label>,
}

/// A line of a chart.
#[derive(Debug, Serialize)]
struct ChartLine {
    name: &'static str,
    /// `x,y x,y …`, as the attribute `points` of a `polyline` wants it.
    points: String,
    last: f64,
}

#[derive(Debug, Serialize)]
struct Label {
    at: f64,
    text: String,
}

impl Chart {
    /// A chart of named lines of (step, value); `None` if there is nothing to draw.
    pub fn new(title: &'static str, series: &[(&'static str, Vec<(u64, f64)>)]) -> Option<Self> {
        let series: Vec<(&str, Vec<(f64, f64)>)> =
            series.iter().map(|(name, points)| (*name, thin(points))).collect();
        let all = || series.iter().flat_map(|(_, points)| points);
        let end = all().map(|point| point.0).fold(f64::NEG_INFINITY, f64::max);
        let (low, high) = all().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), point| {
            (low.min(point.1), high.max(point.1))
        });
        if !(low.is_finite() && high.is_finite()) {
            return None;
        }
        // A constant line is drawn in the middle.
        let (low, high) =
            if low < high { (low, high) } else { (low - low.abs().max(1e-9), high + high.abs().max(1e-9)) };
        let place = |step: f64| LEFT + (WIDTH - LEFT - EDGE) * step / end.max(1.0);
        let height = |value: f64| EDGE + (HEIGHT - BOTTOM - EDGE) * (high - value) / (high - low);
        let lines = series.iter().filter(|(_, points)| !points.is_empty()).map(|(name, points)| ChartLine {
            name,
            points: points
                .iter()
                .map(|&(x, y)| format!("{:.1},{:.1}", place(x), height(y)))
                .collect::<Vec<_>>()
                .join(" "),
            last: points[points.len() - 1].1,
        });
        let lines = lines.collect();
        let y = [0.0, 0.25, 0.5, 0.75, 1.0].map(|share| low + share * (high - low));
        let x = [0.0, 0.25, 0.5, 0.75, 1.0].map(|share| (share * end).round());
        Some(Self {
            title,
            lines,
            y: y.map(|value| Label { at: height(value), text: short(value) }).into(),
            x: x.map(|step| Label { at: place(step), text: format!("{step}") }).into(),
        })
    }
}

/// Averages groups of neighbouring points, as many groups as fit the limit.
fn thin(points: &[(u64, f64)]) -> Vec<(f64, f64)> {
    let group = points.len().div_ceil(MOST_POINTS).max(1);
    let mean = |group: &[(u64, f64)]| {
        let count = group.len() as f64;
        (
            group.iter().map(|point| point.0 as f64).sum::<f64>() / count,
            group.iter().map(|point| point.1).sum::<f64>() / count,
        )
    };
    points.chunks(group).map(mean).collect()
}

/// The number in the few digits that a label has room for.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if !(0.01..100_000.0).contains(&size) => format!("{value:.1e}"),
        size if size < 10.0 => format!("{value:.3}"),
        _ => format!("{value:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_from_corner_to_corner() {
        let chart = Chart::new("loss", &[("train", vec![(0, 3.0), (50, 2.0), (100, 1.0)]), ("eval", vec![])])
            .unwrap();
        assert_eq!(chart.lines.len(), 1, "an empty line is left out");
        assert_eq!(chart.lines[0].points, "64.0,8.0 348.0,93.0 632.0,178.0");
        assert_eq!(
            chart.y.iter().map(|label| label.text.as_str()).collect::<Vec<_>>(),
            ["1.000", "1.500", "2.000", "2.500", "3.000"]
        );
        assert_eq!(
            chart.x.iter().map(|label| label.text.as_str()).collect::<Vec<_>>(),
            ["0", "25", "50", "75", "100"]
        );
    }

    #[test]
    fn what_cannot_be_drawn_is_left_out_and_what_stands_still_is_not() {
        assert!(Chart::new("loss", &[("train", vec![])]).is_none());
        assert!(Chart::new("loss", &[("train", vec![(1, f64::NAN)])]).is_none());
        let still = Chart::new("lr", &[("lr", vec![(1, 2e-4), (2, 2e-4)])]).unwrap();
        assert_eq!(still.lines[0].points, "348.0,93.0 632.0,93.0");
        assert_eq!(still.y[2].text, "2.0e-4");
    }

    #[test]
    fn many_points_are_averaged() {
        let points: Vec<(u64, f64)> = (0..1500).map(|step| (step, (step % 3) as f64)).collect();
        let thinned = thin(&points);
        assert_eq!((thinned.len(), thinned[1]), (500, (4.0, 1.0)));
    }
}

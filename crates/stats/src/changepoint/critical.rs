//! Critical values of the WNS statistic, simulated by `examples/critical.rs`.
//!
//! 400,000 series of independent values for each length up to 100, 40,000,000 values in all for each longer one. Each entry
//! lies just above the simulated quantile, so short series, whose statistic has few possible values, are not flagged more
//! often than stated.

/// Probabilities of the columns of [`TABLE`].
const ALPHAS: [f64; 12] = [
    0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001,
];

/// Lengths and, for each of [`ALPHAS`], the value that series of that length reach with that probability at most.
#[rustfmt::skip]
const TABLE: [(usize, [f64; 12]); 22] = [
    (12, [0.927, 1.582, 2.024, 2.470, 3.072, 3.456, 3.878, 4.418, 4.418, 4.533, 4.533, 4.533]),
    (13, [1.025, 1.674, 2.130, 2.567, 3.127, 3.562, 3.965, 4.470, 4.503, 4.700, 4.700, 4.700]),
    (14, [1.108, 1.759, 2.188, 2.624, 3.155, 3.492, 3.936, 4.382, 4.559, 4.820, 4.910, 4.910]),
    (15, [1.168, 1.811, 2.250, 2.663, 3.164, 3.580, 3.899, 4.323, 4.603, 4.907, 5.066, 5.066]),
    (16, [1.223, 1.861, 2.286, 2.696, 3.182, 3.556, 3.947, 4.287, 4.637, 4.849, 5.186, 5.186]),
    (18, [1.311, 1.936, 2.356, 2.735, 3.219, 3.561, 3.888, 4.296, 4.640, 4.767, 5.064, 5.304]),
    (20, [1.372, 1.990, 2.393, 2.766, 3.227, 3.564, 3.881, 4.272, 4.546, 4.744, 5.097, 5.193]),
    (22, [1.426, 2.032, 2.427, 2.785, 3.231, 3.543, 3.851, 4.242, 4.507, 4.749, 4.974, 5.192]),
    (25, [1.489, 2.081, 2.460, 2.805, 3.223, 3.528, 3.815, 4.182, 4.451, 4.705, 5.020, 5.213]),
    (30, [1.561, 2.139, 2.504, 2.834, 3.233, 3.518, 3.785, 4.124, 4.363, 4.609, 4.881, 5.135]),
    (35, [1.619, 2.184, 2.539, 2.859, 3.251, 3.526, 3.791, 4.112, 4.334, 4.555, 4.850, 5.033]),
    (40, [1.662, 2.217, 2.561, 2.873, 3.255, 3.516, 3.768, 4.070, 4.323, 4.552, 4.863, 5.038]),
    (50, [1.727, 2.271, 2.608, 2.904, 3.267, 3.516, 3.758, 4.059, 4.279, 4.451, 4.708, 4.903]),
    (60, [1.774, 2.308, 2.634, 2.926, 3.273, 3.516, 3.747, 4.029, 4.236, 4.424, 4.663, 4.849]),
    (80, [1.837, 2.359, 2.675, 2.955, 3.290, 3.523, 3.745, 4.026, 4.229, 4.411, 4.669, 4.795]),
    (100, [1.882, 2.398, 2.710, 2.987, 3.313, 3.541, 3.751, 4.019, 4.215, 4.420, 4.680, 4.839]),
    (150, [1.955, 2.460, 2.767, 3.037, 3.347, 3.574, 3.779, 4.043, 4.231, 4.413, 4.628, 4.828]),
    (200, [2.001, 2.497, 2.792, 3.051, 3.362, 3.580, 3.787, 4.065, 4.255, 4.426, 4.636, 4.832]),
    (300, [2.060, 2.551, 2.844, 3.105, 3.418, 3.630, 3.836, 4.081, 4.255, 4.422, 4.625, 4.831]),
    (500, [2.130, 2.616, 2.899, 3.161, 3.456, 3.668, 3.873, 4.109, 4.285, 4.407, 4.715, 4.933]),
    (1000, [2.204, 2.684, 2.967, 3.213, 3.494, 3.695, 3.902, 4.162, 4.336, 4.466, 4.613, 4.669]),
    (2000, [2.273, 2.748, 3.031, 3.278, 3.550, 3.757, 3.943, 4.147, 4.390, 4.554, 4.740, 4.799]),
];

/// The value that a series of `n` independent values reaches with probability `alpha` (between 0.5 and 0.0001; beyond it
/// the nearest). Interpolated between lengths; longer series than 2,000 use their trend.
pub fn critical_value(alpha: f64, n: usize) -> f64 {
    let row = row(n);
    let wanted = alpha.clamp(ALPHAS[11], ALPHAS[0]).ln();
    let column = ALPHAS
        .windows(2)
        .position(|pair| wanted >= pair[1].ln())
        .unwrap_or(ALPHAS.len() - 2);
    let (from, to) = (ALPHAS[column].ln(), ALPHAS[column + 1].ln());
    let share = (from - wanted) / (from - to);
    row[column] + share * (row[column + 1] - row[column])
}

/// The probability that a series of `n` independent values reaches the statistic: the inverse of [`critical_value`].
/// Beyond the table the tail falls like that of a normal maximum; below it the answer is 1.
pub fn p_value(statistic: f64, n: usize) -> f64 {
    let row = row(n);
    if statistic.is_nan() || statistic < row[0] {
        return 1.0;
    }
    let Some(column) = row.windows(2).position(|pair| statistic < pair[1]) else {
        let last = ALPHAS.len() - 1;
        // exp(-z^2 / 2) from the last simulated point on.
        return ALPHAS[last] * ((row[last].powi(2) - statistic.powi(2)) / 2.0).exp();
    };
    let width = row[column + 1] - row[column];
    let share = if width > 0.0 {
        (statistic - row[column]) / width
    } else {
        0.0
    };
    (ALPHAS[column].ln() + share * (ALPHAS[column + 1] / ALPHAS[column]).ln()).exp()
}

/// The row of a length, interpolated in its logarithm.
fn row(n: usize) -> [f64; 12] {
    let last = TABLE.len() - 1;
    let above = TABLE
        .iter()
        .position(|(length, _)| *length >= n)
        .unwrap_or(last)
        .max(1);
    let ((from, low), (to, high)) = (TABLE[above - 1], TABLE[above]);
    let share =
        ((n.max(from) as f64).ln() - (from as f64).ln()) / ((to as f64).ln() - (from as f64).ln());
    std::array::from_fn(|column| low[column] + share * (high[column] - low[column]))
}

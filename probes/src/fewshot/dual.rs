//! Softmax regression on few rows of many columns, by the products of the rows alone.
//!
//! The weights of a penalised regression are sums of its rows, `W = A · X`, so that it is a problem
//! of rows × classes numbers whatever the number of columns, and everything it needs of the rows is
//! `K = X · Xᵀ`. Newton's method with conjugate gradients, both in the inner product that `K` gives
//! the coefficients: there the Hessian is symmetric, and `K` is never factored.

/// A fit has converged when the norm of its gradient is below this share of that at zero weights.
const TOLERANCE: f64 = 1e-5;

/// Newton steps after which a fit gives up, and says so.
const MOST_STEPS: usize = 100;

/// Conjugate gradients are followed until the residual is this share of the gradient at the most.
const FORCING: f64 = 0.1;

/// Share of the predicted decrease that a step has to reach.
const SUFFICIENT: f64 = 1e-4;

/// One point or direction of the problem.
#[derive(Debug, Default, Clone)]
struct Vector {
    /// `(ways, n)`: A.
    coefficients: Vec<f64>,
    /// `(ways, n)`: A · K, the decision values without the intercept.
    image: Vec<f64>,
    /// `(ways)`, not penalised.
    intercept: Vec<f64>,
}

impl Vector {
    fn reset(&mut self, ways: usize, count: usize) {
        zero(&mut self.coefficients, ways * count);
        zero(&mut self.image, ways * count);
        zero(&mut self.intercept, ways);
    }

    #[inline(always)]
    fn dot(&self, other: &Self) -> f64 {
        self.penalised(other) + sum_of_products(&self.intercept, &other.intercept)
    }

    /// The part of [`Self::dot`] that is the product of the weights.
    #[inline(always)]
    fn penalised(&self, other: &Self) -> f64 {
        sum_of_products(&self.image, &other.coefficients)
    }

    /// `self = keep · self + scale · other`.
    #[inline(always)]
    fn mix(&mut self, keep: f64, scale: f64, other: &Self) {
        mix(&mut self.coefficients, keep, scale, &other.coefficients);
        mix(&mut self.image, keep, scale, &other.image);
        mix(&mut self.intercept, keep, scale, &other.intercept);
    }

    /// Computes the image of the coefficients.
    #[inline(always)]
    fn update_image(&mut self, gram: &[f64], count: usize) {
        self.image.fill(0.0);
        let images = self.image.chunks_exact_mut(count);
        for (coefficients, image) in self.coefficients.chunks_exact(count).zip(images) {
            for (coefficient, row) in coefficients.iter().zip(gram.chunks_exact(count)) {
                for (image, product) in image.iter_mut().zip(row) {
                    *image += coefficient * product;
                }
            }
        }
    }
}

/// Makes `count` zeros of it.
fn zero(numbers: &mut Vec<f64>, count: usize) {
    numbers.clear();
    numbers.resize(count, 0.0);
}

#[inline(always)]
fn sum_of_products(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[inline(always)]
fn mix(into: &mut [f64], keep: f64, scale: f64, other: &[f64]) {
    into.iter_mut().zip(other).for_each(|(into, other)| *into = keep * *into + scale * other);
}

/// A regression, and the room it is fitted in.
#[derive(Debug, Default)]
pub(super) struct Dual {
    count: usize,
    ways: usize,
    truth: Vec<u32>,
    /// `(n, n)`: K.
    gram: Vec<f64>,
    weights: Vector,
    /// Newton's step so far, and what conjugate gradients need.
    step: Vector,
    direction: Vector,
    residual: Vector,
    curved: Vector,
    /// `(ways, n)`.
    probabilities: Vec<f64>,
    /// `(n)`.
    row: Vec<f64>,
}

impl Dual {
    /// Begins anew, with the way of each row.
    pub(super) fn reset(&mut self, truth: &[u32], ways: usize) {
        let count = truth.len();
        (self.count, self.ways) = (count, ways);
        self.truth.clear();
        self.truth.extend_from_slice(truth);
        for vector in [&mut self.weights, &mut self.step, &mut self.direction, &mut self.residual] {
            vector.reset(ways, count);
        }
        self.curved.reset(ways, count);
        zero(&mut self.gram, count * count);
        zero(&mut self.probabilities, ways * count);
        zero(&mut self.row, count);
    }

    /// Says what the products of one row with all rows are.
    pub(super) fn set_products(&mut self, row: usize, products: &[f32]) {
        let own = &mut self.gram[row * self.count..(row + 1) * self.count];
        own.iter_mut().zip(products).for_each(|(own, product)| *own = f64::from(*product));
    }

    /// Fits, and says whether the gradient fell below the tolerance.
    #[inline(always)]
    pub(super) fn fit(&mut self, strength: f64) -> bool {
        let mut loss = self.objective(0.0, strength);
        let mut first = None;
        for _ in 0..MOST_STEPS {
            self.set_residual(strength);
            let square = self.residual.dot(&self.residual).max(0.0);
            let first = *first.get_or_insert(square);
            if square <= TOLERANCE * TOLERANCE * first {
                return true;
            }
            let forcing = FORCING.min((square / first).powf(0.25));
            let decrease = self.solve(strength, forcing * forcing * square);
            let Some((share, reached)) = self.search(loss, decrease, strength) else {
                return false;
            };
            self.weights.mix(1.0, share, &self.step);
            loss = reached;
        }
        false
    }

    /// Halves Newton's step until the objective falls; the probabilities are those of the end.
    #[inline(always)]
    fn search(&mut self, loss: f64, decrease: f64, strength: f64) -> Option<(f64, f64)> {
        let mut share = 1.0;
        // Near the optimum the objective falls by less than its rounding.
        let rounding = 1e-13 * loss.abs();
        for _ in 0..40 {
            let reached = self.objective(share, strength);
            if reached <= loss - SUFFICIENT * share * decrease + rounding {
                return Some((share, reached));
            }
            share *= 0.5;
        }
        None
    }

    /// The objective at the weights plus a share of the step, and the probabilities there.
    #[inline(always)]
    fn objective(&mut self, share: f64, strength: f64) -> f64 {
        let (count, ways) = (self.count, self.ways);
        let (weights, step) = (&self.weights, &self.step);
        let mut loss = 0.0;
        for row in 0..count {
            let places = (0..ways).map(|way| (way, way * count + row));
            let mut top = f64::NEG_INFINITY;
            for (way, at) in places.clone() {
                let score = weights.image[at]
                    + weights.intercept[way]
                    + share * (step.image[at] + step.intercept[way]);
                self.probabilities[at] = score;
                top = top.max(score);
            }
            loss += top - self.probabilities[self.truth[row] as usize * count + row];
            let mut sum = 0.0;
            for (_, at) in places.clone() {
                self.probabilities[at] = (self.probabilities[at] - top).exp();
                sum += self.probabilities[at];
            }
            loss += sum.ln();
            places.for_each(|(_, at)| self.probabilities[at] /= sum);
        }
        let square = weights.penalised(weights)
            + 2.0 * share * weights.penalised(step)
            + share * share * step.penalised(step);
        loss + 0.5 * strength * square
    }

    /// Less the gradient, and its image.
    #[inline(always)]
    fn set_residual(&mut self, strength: f64) {
        let (count, residual) = (self.count, &mut self.residual);
        for way in 0..self.ways {
            let mut sum = 0.0;
            for row in 0..count {
                let at = way * count + row;
                let is = if self.truth[row] as usize == way { 1.0 } else { 0.0 };
                let error = is - self.probabilities[at];
                sum += error;
                residual.coefficients[at] = error - strength * self.weights.coefficients[at];
            }
            residual.intercept[way] = sum;
        }
        residual.update_image(&self.gram, count);
    }

    /// Newton's step by conjugate gradients, until the square of the residual is below `enough`;
    /// returns the decrease that the gradient promises for it.
    #[inline(always)]
    fn solve(&mut self, strength: f64, enough: f64) -> f64 {
        self.step.reset(self.ways, self.count);
        self.direction.clone_from(&self.residual);
        let mut square = self.residual.dot(&self.residual).max(0.0);
        let mut decrease = 0.0;
        for _ in 0..self.ways * (self.count + 1) {
            self.curve(strength);
            let curvature = sum_of_products(&self.direction.image, &self.curved.coefficients)
                + sum_of_products(&self.direction.intercept, &self.curved.intercept);
            if curvature <= 0.0 {
                break;
            }
            let length = square / curvature;
            // The gradient's product with each direction is the residual's square there.
            decrease += length * square;
            self.step.mix(1.0, length, &self.direction);
            mix(&mut self.residual.coefficients, 1.0, -length, &self.curved.coefficients);
            mix(&mut self.residual.intercept, 1.0, -length, &self.curved.intercept);
            self.residual.update_image(&self.gram, self.count);
            let next = self.residual.dot(&self.residual).max(0.0);
            if next <= enough {
                break;
            }
            self.direction.mix(next / square, 1.0, &self.residual);
            square = next;
        }
        decrease
    }

    /// The Hessian's product with the direction; its image is not needed.
    #[inline(always)]
    fn curve(&mut self, strength: f64) {
        let (count, direction) = (self.count, &self.direction);
        self.row.fill(0.0);
        for way in 0..self.ways {
            let place = way * count..(way + 1) * count;
            let (image, p) = (&direction.image[place.clone()], &self.probabilities[place]);
            for ((mean, image), p) in self.row.iter_mut().zip(image).zip(p) {
                *mean += p * (image + direction.intercept[way]);
            }
        }
        for way in 0..self.ways {
            let mut sum = 0.0;
            for row in 0..count {
                let at = way * count + row;
                let change = direction.image[at] + direction.intercept[way] - self.row[row];
                let curved = self.probabilities[at] * change;
                sum += curved;
                self.curved.coefficients[at] = curved + strength * direction.coefficients[at];
            }
            self.curved.intercept[way] = sum;
        }
    }

    /// Decision values of a row, from its products with the rows that were fitted.
    #[inline(always)]
    pub(super) fn decide(&self, products: &[f32], decisions: &mut [f32]) {
        let ways = self.weights.coefficients.chunks_exact(self.count).zip(&self.weights.intercept);
        for (decision, (coefficients, intercept)) in decisions.iter_mut().zip(ways) {
            let terms = coefficients.iter().zip(products);
            let sum: f64 = terms.map(|(a, product)| a * f64::from(*product)).sum();
            *decision = (sum + intercept) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::noise;
    use crate::logistic::{Design, Job, Response, Settings, Solver, fit};

    #[test]
    fn agrees_with_the_solver_on_the_columns() {
        for (count, ways, columns, strength) in
            [(10, 5, 40, 1.0), (25, 5, 7, 0.01), (40, 2, 90, 10.0), (5, 5, 3, 0.1)]
        {
            let features = noise(count, columns, 3);
            let truth: Vec<u32> = (0..count as u32).map(|row| row % ways as u32).collect();
            let mut dual = Dual::default();
            // A second use must not remember the first.
            for _ in 0..2 {
                dual.reset(&truth, ways);
                for row in 0..count {
                    let products = features.dot(&features.row(row));
                    dual.set_products(row, products.as_slice().unwrap());
                }
                assert!(dual.fit(strength), "{count} {ways}");
            }
            let design = Design::new(&[features.mapv(f64::from).view()]).unwrap();
            let response = Response::Classes { labels: &truth, classes: ways };
            let settings = Settings { tolerance: 1e-9, ..Settings::default() };
            let jobs = [Job { response, strength, start: None }];
            let fits = fit(&design, &jobs, Solver::Batched, settings).unwrap();
            let queries = noise(20, columns, 4);
            let expected = fits[0].as_ref().unwrap().decision(queries.mapv(f64::from).view());
            let mut found = vec![0.0; ways];
            for (query, expected) in queries.rows().into_iter().zip(expected.rows()) {
                dual.decide(features.dot(&query).as_slice().unwrap(), &mut found);
                // Adding a number to all classes changes nothing.
                let mean = |row: &mut dyn Iterator<Item = f64>| row.sum::<f64>() / ways as f64;
                let own = mean(&mut found.iter().map(|&v| f64::from(v)));
                let other = mean(&mut expected.iter().copied());
                for (found, expected) in found.iter().zip(expected) {
                    let gap = (f64::from(*found) - own) - (expected - other);
                    // The gradient stops at 1e-5 of its start, and the strength divides it.
                    assert!(gap.abs() < 1e-3, "{count} {ways}: {gap}");
                }
            }
        }
    }
}

// Sines and cosines that are the same bits everywhere: see the module pfnr_runtime.artifact.packed.sine. Every
// operation is one rounding of float64, in that module's order.

const HALF_PI = [1.570796325802803, 9.920935791635221e-10, 5.17018297889025e-19, 2.903855961686029e-28];
const QUARTERS = 0.6366197723675814; // 2/π
const SINE = coefficients(1, 9);
const COSINE = coefficients(0, 10);

// (-1)^i / (2i + first)!; the factorials are exact, so each is rounded once.
function coefficients(first, count) {
  let factorial = 1;
  return Array.from({ length: count }, (_, i) => {
    for (let n = 2 * i + first - 1; n <= 2 * i + first; n++) factorial *= Math.max(n, 1);
    return (i % 2 ? -1 : 1) / factorial;
  });
}

// Half to even, below 2^51; what rounds to zero keeps its sign.
export function rint(x) {
  return x > 0 ? x + 2 ** 52 - 2 ** 52 : -(2 ** 52 - x - 2 ** 52);
}

export function sineAndCosine(angle) {
  const quarters = rint(angle * QUARTERS);
  let rest = angle;
  for (const part of HALF_PI) rest -= quarters * part;
  const square = rest * rest;
  const sine = rest * polynomial(square, SINE);
  const cosine = polynomial(square, COSINE);
  const turn = ((quarters % 4) + 4) % 4;
  return [
    (turn % 2 ? cosine : sine) * (turn >= 2 ? -1 : 1),
    (turn % 2 ? sine : cosine) * (turn === 1 || turn === 2 ? -1 : 1),
  ];
}

function polynomial(x, terms) {
  let value = terms.at(-1);
  for (let i = terms.length - 2; i >= 0; i--) value = value * x + terms[i];
  return value;
}

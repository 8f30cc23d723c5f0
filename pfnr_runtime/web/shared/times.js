// When frames of a session appear, by its table of times where they are not evenly spaced.

const tables = new WeakMap();

// Seconds at which each frame appears, and the end of the last; null at a constant rate.
function table(session) {
  const { times } = session.video;
  if (!times) return null;
  if (!tables.has(session)) {
    const [above, below] = times.time_base.split("/").map(Number);
    const ticks = [0];
    for (const run of times.durations.split(" ")) {
      const [duration, count = 1] = run.split("*").map(Number);
      for (let i = 0; i < count; i++) ticks.push(ticks.at(-1) + duration);
    }
    tables.set(session, ticks.map((tick) => (tick * above) / below));
  }
  return tables.get(session);
}

// When a frame appears, in seconds.
export function timeOf(session, frame) {
  return table(session)?.[frame] ?? frame / session.fps;
}

// The frame `seconds` after this one, or before it: at least one further.
export function frameAfter(session, frame, seconds) {
  const starts = table(session);
  if (starts === null) return frame + (Math.round(seconds * session.fps) || Math.sign(seconds));
  const moment = starts[frame] + seconds;
  const there = starts.findIndex((start) => start > moment) - 1;
  const found = moment < 0 ? 0 : there < 0 ? session.frames - 1 : there;
  return found === frame ? frame + Math.sign(seconds) : found;
}

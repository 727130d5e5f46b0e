const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const PREFIXES = ["", "k", "M", "G", "T"];
const minute = new Intl.DateTimeFormat("en-GB", { timeStyle: "short" });
const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const shortDay = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const moment = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const day = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium" });

/** Packets per second: below ten with a tenth, as 0 would hide one packet in two seconds. */
export const formatRate = (value: number): string => (value < 10 ? fine : whole).format(value);
export const formatCount = (value: number): string => whole.format(value);
export const formatMinute = (milliseconds: number): string => minute.format(milliseconds);
export const formatShortDay = (milliseconds: number): string => shortDay.format(milliseconds);
export const formatClock = (milliseconds: number): string => clock.format(milliseconds);
export const formatMoment = (time: string): string => moment.format(new Date(time));
export const formatDay = (time: string): string => day.format(new Date(time));

/** A bit rate with its SI prefix: `1.2 Mbit/s`. */
export function formatBits(bytesPerSecond: number): string {
  const bits = bytesPerSecond * 8;
  const power = bits < 1000 ? 0 : Math.min(Math.floor(Math.log10(bits) / 3), PREFIXES.length - 1);
  return `${fine.format(bits / 1000 ** power)} ${PREFIXES[power] ?? ""}bit/s`;
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const bits = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const day = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium" });

/** Packets per second: below ten with a tenth, as 0 would hide one packet in two seconds. */
export const formatRate = (value: number): string => (value < 10 ? fine : whole).format(value);
export const formatCount = (value: number): string => whole.format(value);
export const formatBits = (bytes: number): string => `${bits.format(bytes * 8)}bit/s`;
export const formatClock = (milliseconds: number): string => clock.format(milliseconds);
export const formatDay = (time: string): string => day.format(new Date(time));

// Texts that begin with the time since boot, in 16 digits of nanoseconds.
export const stamped = (len) => `${process.hrtime.bigint().toString().padStart(16, "0")}:`.padEnd(len, "x");

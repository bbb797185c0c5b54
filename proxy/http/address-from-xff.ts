/** `x-forwarded-for`, read from its right end, where the nearest proxy has written. */
import { parseIp } from "./cidr.ts";

/** The entry `hops` from the right; undefined when there are not so many, or it is no address. */
export function addressFromXff(forwardedFor: string, hops: number): string | undefined {
  const entries = forwardedFor.split(",");
  const entry = entries[entries.length - 1 - hops]?.trim();
  return entry === undefined || parseIp(entry) === undefined ? undefined : entry;
}

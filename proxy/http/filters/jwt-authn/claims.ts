/** Claims as headers and metadata show them. */
import type { JwtObject } from "../../../jwt/token.ts";

/** Text of a claim; "" where there is none. Lists and objects are base64 of their JSON. */
export function claimText(payload: JwtObject, path: readonly string[]): string {
  let value: unknown = payload;
  for (const name of path) {
    if (typeof value !== "object" || value === null || Array.isArray(value) || !Object.hasOwn(value, name)) return "";
    value = (value as JwtObject)[name];
  }
  switch (typeof value) {
    case "string":
      return value;
    case "number":
      return numberText(value);
    case "boolean":
      return String(value);
    default:
      return typeof value === "object" && value !== null ? Buffer.from(JSON.stringify(value)).toString("base64") : "";
  }
}

/** C++'s `std::to_string`: six decimals, but for unsigned 64-bit integers. */
function numberText(value: number): string {
  return Number.isInteger(value) && value >= 0 && value < 2 ** 64 ? BigInt(value).toString() : fixed(value);
}

/** `toFixed` turns to exponents from 1e21 on. */
function fixed(value: number): string {
  return Math.abs(value) < 1e21 ? value.toFixed(6) : `${BigInt(value)}.000000`;
}

/** With lists in the place of those claims that are words parted by blanks. */
export function normalizedPayload(payload: JwtObject, spaceDelimited: readonly string[]): JwtObject {
  const lists: Record<string, readonly string[]> = {};
  for (const name of spaceDelimited) {
    const value = Object.hasOwn(payload, name) ? payload[name] : undefined;
    const words = typeof value === "string" ? value.split(" ").filter((word) => word !== "") : [];
    if (words.length > 0) lists[name] = words;
  }
  return { ...payload, ...lists };
}

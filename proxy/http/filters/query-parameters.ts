/**
 * The query of a request target, parameter by parameter; written back in the order of their names, as Envoy does. What was
 * there is written decoded. Differs from Envoy: but for what would be another parameter, or no part of a target, then.
 */
import { byteString } from "#lib/xxhash64.ts";

export class QueryParameters {
  readonly #path: string;
  /** Names decoded, values as they are written; one byte a character. */
  readonly #values = new Map<string, string[]>();

  /** `target`: a path with its query, one byte a character. */
  constructor(target: string) {
    const question = target.indexOf("?");
    this.#path = question < 0 ? target : target.slice(0, question);
    if (question < 0) return;
    for (const part of target.slice(question + 1).split("&")) {
      if (part === "") continue;
      const equals = part.indexOf("=");
      const [name, value] = equals < 0 ? [part, ""] : [part.slice(0, equals), part.slice(equals + 1)];
      this.#add(decoded(name), safe(decoded(value)));
    }
  }

  has(name: string): boolean {
    return this.#values.has(byteString(name));
  }

  append(name: string, value: string): void {
    this.#add(byteString(name), encoded(value));
  }

  set(name: string, value: string): void {
    this.#values.set(byteString(name), [encoded(value)]);
  }

  remove(name: string): void {
    this.#values.delete(byteString(name));
  }

  toPath(): string {
    const parts: string[] = [];
    for (const [name, values] of [...this.#values].toSorted(([a], [b]) => (a < b ? -1 : 1)))
      for (const value of values) parts.push(`${safe(name).replaceAll("=", "%3D")}=${value}`);
    return parts.length === 0 ? this.#path : `${this.#path}?${parts.join("&")}`;
  }

  #add(name: string, value: string): void {
    const values = this.#values.get(name);
    if (values === undefined) this.#values.set(name, [value]);
    else values.push(value);
  }
}

function decoded(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** Encodes what can't stand in a query. */
function safe(bytes: string): string {
  return bytes.replace(/[^!-~]|[%&#]/g, percent);
}

function percent(char: string): string {
  return `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
}

function encoded(bytes: string): string {
  return bytes.replace(/[^A-Za-z0-9\-._~]/g, percent);
}

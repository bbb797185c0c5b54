/** From a host name to its virtual host (R-01 … R-04): maps that are prepared once. */

/** Finds by exact name, then the longest suffix wildcard, then the longest prefix wildcard, then `*`. */
export class VirtualHostIndex<T> {
  readonly #exact = new Map<string, T>();
  readonly #suffixes = new WildcardIndex<T>((host, length) => host.slice(host.length - length));
  readonly #prefixes = new WildcardIndex<T>((host, length) => host.slice(0, length));
  #any: T | undefined = undefined;

  /** Adds a domain; the message says why it can't be had. */
  add(domain: string, value: T): string | undefined {
    const lower = domain.toLowerCase();
    if (lower === "") return "a domain may not be empty";
    if (lower === "*") {
      if (this.#any !== undefined) return "Only a single wildcard domain is permitted";
      this.#any = value;
      return undefined;
    }
    if (lower.startsWith("*")) return this.#suffixes.add(lower.slice(1), value) ? undefined : duplicate(domain);
    if (lower.endsWith("*")) return this.#prefixes.add(lower.slice(0, -1), value) ? undefined : duplicate(domain);
    if (this.#exact.has(lower)) return duplicate(domain);
    this.#exact.set(lower, value);
    return undefined;
  }

  /** The virtual host of a host name in whatever case. */
  find(host: string): T | undefined {
    // Keys are in lower case: a host that is one is, too.
    const exact = this.#exact.get(host);
    if (exact !== undefined) return exact;
    const lower = host.toLowerCase();
    return this.#exact.get(lower) ?? this.#suffixes.find(lower) ?? this.#prefixes.find(lower) ?? this.#any;
  }
}

function duplicate(domain: string): string {
  return `Only unique values for domains are permitted. Duplicate entry of domain ${domain}`;
}

class WildcardIndex<T> {
  readonly #byText = new Map<string, T>();
  readonly #part: (host: string, length: number) => string;
  /** Longest first. */
  #lengths: readonly number[] = [];

  constructor(part: (host: string, length: number) => string) {
    this.#part = part;
  }

  add(text: string, value: T): boolean {
    if (this.#byText.has(text)) return false;
    this.#byText.set(text, value);
    this.#lengths = [...new Set([...this.#lengths, text.length])].toSorted((a, b) => b - a);
    return true;
  }

  /** A wildcard stands for one character at least. */
  find(host: string): T | undefined {
    for (const length of this.#lengths) {
      if (length >= host.length) continue;
      const value = this.#byText.get(this.#part(host, length));
      if (value !== undefined) return value;
    }
    return undefined;
  }
}

/**
 * An ordered, multi-valued list of header fields. Names are lower case and valid tokens (the codecs see to it);
 * pseudo headers (`:method`, `:path`, `:authority`, `:scheme`, `:protocol`, `:status`) live in fields of their own,
 * so that the hot path never searches for them. Two parallel arrays: no object per header.
 */
export class HeaderMap {
  method = "";
  /** With query, as on the wire (after normalisation, once the connection manager has done it). */
  path = "";
  /** `Host` in HTTP/1.1. */
  authority = "";
  scheme = "";
  /** `:protocol` of extended CONNECT (RFC 8441). */
  protocol = "";
  /** Responses only; 0 in requests. */
  status = 0;
  readonly names: string[] = [];
  readonly values: string[] = [];
  /** Names of fields that no compression table may ever have (RFC 7541 §7.1.3), as their sender asked. */
  sensitive: Set<string> | undefined = undefined;
  /** How the sender spelled the names, where that is kept (`preserve_case`). */
  spelling: { readonly format: (name: string) => string } | undefined = undefined;

  /** First value of `name`, pseudo headers included; undefined when absent. */
  get(name: string): string | undefined {
    if (name.charCodeAt(0) === 58 /* : */) return this.#pseudo(name);
    const index = this.names.indexOf(name);
    return index < 0 ? undefined : this.values[index];
  }

  /** All values joined with `,` (Envoy's rule for matching, R-17); undefined when absent. */
  getJoined(name: string): string | undefined {
    if (name.charCodeAt(0) === 58) return this.#pseudo(name);
    const names = this.names;
    const first = names.indexOf(name);
    if (first < 0) return undefined;
    let joined = this.values[first] as string;
    for (let i = names.indexOf(name, first + 1); i >= 0; i = names.indexOf(name, i + 1)) joined += `,${this.values[i]}`;
    return joined;
  }

  getAll(name: string): string[] {
    const all: string[] = [];
    for (let i = this.names.indexOf(name); i >= 0; i = this.names.indexOf(name, i + 1))
      all.push(this.values[i] as string);
    return all;
  }

  has(name: string): boolean {
    if (name.charCodeAt(0) === 58) return this.#pseudo(name) !== undefined;
    return this.names.includes(name);
  }

  /** Replaces every value of `name` by one, in the place of the first. */
  set(name: string, value: string): void {
    if (name.charCodeAt(0) === 58) return this.#setPseudo(name, value);
    const first = this.names.indexOf(name);
    if (first < 0) {
      this.names.push(name);
      this.values.push(value);
      return;
    }
    this.values[first] = value;
    for (let i = this.names.indexOf(name, first + 1); i >= 0; i = this.names.indexOf(name, i)) this.#removeAt(i);
  }

  /** Appends a field, keeping those of the same name. */
  add(name: string, value: string): void {
    if (name.charCodeAt(0) === 58) return this.#setPseudo(name, value);
    this.names.push(name);
    this.values.push(value);
  }

  /** Removes every value; false when there was none. */
  remove(name: string): boolean {
    let index = this.names.indexOf(name);
    if (index < 0) return false;
    for (; index >= 0; index = this.names.indexOf(name, index)) this.#removeAt(index);
    return true;
  }

  /** Number of fields, pseudo headers not counted. */
  get size(): number {
    return this.names.length;
  }

  copy(): HeaderMap {
    const copy = new HeaderMap();
    copy.assign(this);
    return copy;
  }

  /** Takes everything over from `other`, which stays as it is. */
  assign(other: HeaderMap): void {
    this.method = other.method;
    this.path = other.path;
    this.authority = other.authority;
    this.scheme = other.scheme;
    this.protocol = other.protocol;
    this.status = other.status;
    this.sensitive = other.sensitive === undefined ? undefined : new Set(other.sensitive);
    this.spelling = other.spelling;
    this.names.length = 0;
    this.values.length = 0;
    for (let i = 0; i < other.names.length; i++) {
      this.names.push(other.names[i] as string);
      this.values.push(other.values[i] as string);
    }
  }

  /** Bytes of names and values, as Envoy counts header sizes. */
  get byteSize(): number {
    let size = this.method.length + this.path.length + this.authority.length + this.scheme.length;
    for (let i = 0; i < this.names.length; i++)
      size += (this.names[i] as string).length + (this.values[i] as string).length;
    return size;
  }

  /** Pseudo headers first, then the fields in order. For logs and tests. */
  entries(): [string, string][] {
    const all: [string, string][] = [];
    for (const name of [":method", ":path", ":authority", ":scheme", ":protocol", ":status"]) {
      const value = this.#pseudo(name);
      if (value !== undefined) all.push([name, value]);
    }
    for (let i = 0; i < this.names.length; i++) all.push([this.names[i] as string, this.values[i] as string]);
    return all;
  }

  /** For tests: from pairs, pseudo headers included. */
  static of(fields: Readonly<Record<string, string>> | readonly (readonly [string, string])[]): HeaderMap {
    const map = new HeaderMap();
    const pairs = Array.isArray(fields) ? fields : Object.entries(fields);
    for (const [name, value] of pairs) map.add(name.toLowerCase(), value);
    return map;
  }

  #removeAt(index: number): void {
    this.names.splice(index, 1);
    this.values.splice(index, 1);
  }

  #pseudo(name: string): string | undefined {
    switch (name) {
      case ":method":
        return this.method === "" ? undefined : this.method;
      case ":path":
        return this.path === "" ? undefined : this.path;
      case ":authority":
        return this.authority === "" ? undefined : this.authority;
      case ":scheme":
        return this.scheme === "" ? undefined : this.scheme;
      case ":protocol":
        return this.protocol === "" ? undefined : this.protocol;
      case ":status":
        return this.status === 0 ? undefined : String(this.status);
      default:
        return undefined;
    }
  }

  #setPseudo(name: string, value: string): void {
    switch (name) {
      case ":method":
        this.method = value;
        break;
      case ":path":
        this.path = value;
        break;
      case ":authority":
        this.authority = value;
        break;
      case ":scheme":
        this.scheme = value;
        break;
      case ":protocol":
        this.protocol = value;
        break;
      case ":status":
        this.status = Number(value);
        break;
      default:
        throw new Error(`unknown pseudo header ${name}`);
    }
  }
}

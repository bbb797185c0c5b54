/** Host names of the configuration: short names, wildcards, which is the more specific (rules 1–3). */

/** The DNS domain of the cluster: what short names end in. */
export const CLUSTER_DOMAIN = "cluster.local";

export function isWildcard(host: string): boolean {
  return host.startsWith("*");
}

/** A name without a dot belongs to the namespace of the object that says it; everything else is literal (rule 1). */
export function expandHost(host: string, namespace: string, domain: string): string {
  if (host === "" || host.includes(".") || isWildcard(host) || host.includes(":")) return host;
  return `${host}.${namespace}.svc.${domain}`;
}

/** Either side may hold the wildcard; `*.foo.com` does not match `foo.com` (rule 2). */
export function hostsMatch(a: string, b: string): boolean {
  const aWild = isWildcard(a);
  const bWild = isWildcard(b);
  if (aWild && bWild) {
    const [short, long] = a.length < b.length ? [a, b] : [b, a];
    return long.endsWith(short.slice(1));
  }
  if (aWild) return b.endsWith(a.slice(1));
  if (bWild) return a.endsWith(b.slice(1));
  return a === b;
}

/** Every name that `a` stands for, `b` stands for too. */
export function isSubsetOf(a: string, b: string): boolean {
  if (isWildcard(b)) {
    const suffix = b.slice(1);
    return isWildcard(a) ? a.length >= b.length && a.slice(1).endsWith(suffix) : a.endsWith(suffix);
  }
  return !isWildcard(a) && a === b;
}

/** An index of values by host: exact, or the longest wildcard that holds the name (rule 3). */
export class HostTable<V> {
  readonly #exact = new Map<string, V>();
  readonly #wildcards: { readonly host: string; readonly value: V }[] = [];
  #sorted = true;

  /** The first value for a host stays. */
  add(host: string, value: V): void {
    if (!isWildcard(host)) {
      if (!this.#exact.has(host)) this.#exact.set(host, value);
      return;
    }
    if (this.#wildcards.some((entry) => entry.host === host)) return;
    this.#wildcards.push({ host, value });
    this.#sorted = false;
  }

  exact(host: string): V | undefined {
    return isWildcard(host) ? this.#wildcards.find((entry) => entry.host === host)?.value : this.#exact.get(host);
  }

  lookup(host: string): V | undefined {
    if (!isWildcard(host)) {
      const hit = this.#exact.get(host);
      if (hit !== undefined) return hit;
    }
    if (!this.#sorted) {
      this.#wildcards.sort((a, b) => b.host.length - a.host.length);
      this.#sorted = true;
    }
    for (const { host: wildcard, value } of this.#wildcards) {
      if (isSubsetOf(host, wildcard)) return value;
    }
    return undefined;
  }
}

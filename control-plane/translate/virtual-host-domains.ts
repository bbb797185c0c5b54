/** Under which names a service answers (§4.4). */
import type { ScopedService } from "./scope.ts";

export interface Domains {
  /** Every form, most specific first. */
  readonly all: readonly string[];
  /** Those that the namespace of the proxy alone makes. */
  readonly shortened: ReadonlySet<string>;
}

/** `addresses`: those that the proxy can call. `port` is written behind each name where the port of a Host header counts (`http_proxy`). */
export function virtualHostDomains(
  service: ScopedService,
  addresses: readonly string[],
  proxyDomain: string,
  port: number | undefined,
): Domains {
  const { model } = service;
  const names: string[] = [];
  const shortened: string[] = [];
  for (const host of [service.host, ...service.aliases]) {
    const shorter = shortForms(host, proxyDomain);
    names.push(host, ...shorter);
    shortened.push(...shorter);
  }
  if (model.isHeadless && model.origin === "kubernetes") names.push(...names.map((name) => `*.${name}`));
  for (const address of model.isHeadless ? [] : addresses) {
    if (!address.includes("/")) names.push(address.includes(":") ? `[${address}]` : address);
  }
  if (port === undefined) return { all: names, shortened: new Set(shortened) };
  const all = port === 80 ? names.flatMap((name) => [name, `${name}:80`]) : names.map((name) => `${name}:${port}`);
  return { all, shortened: new Set(shortened) };
}

/** The absolute form, and what a resolver of the proxy's namespace would complete to the host. */
function shortForms(host: string, proxyDomain: string): readonly string[] {
  const absolute = [`${host}.`];
  const split = proxyDomain.indexOf(".svc.");
  if (split < 0) return absolute;
  const suffix = proxyDomain.slice(split);
  if (!host.endsWith(suffix)) return absolute;
  const short = host.slice(0, -suffix.length);
  const dot = short.indexOf(".");
  if (dot < 0) return absolute;
  const isOwn = short.slice(dot + 1) === proxyDomain.slice(0, split);
  return [...absolute, ...(isOwn ? [short.slice(0, dot)] : []), `${short}.svc`, short];
}

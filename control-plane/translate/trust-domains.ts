/** Trust domains of principals: the mesh's own stands for its aliases, too (rule 73). */
import type { MeshConfig } from "../model/mesh-config.ts";

/** In policies a pointer to the trust domain of the mesh, whatever that is called. */
const POINTER = "cluster.local";

/** Principals (`td/ns/x/sa/y`) in every trust domain of the mesh; those of others stay. */
export function inAllTrustDomains(config: MeshConfig, principals: readonly string[]): readonly string[] {
  return principals.flatMap((principal) => expanded(trustDomainsOf(config), principal));
}

/** Trust domains, each of the mesh's own with its aliases. */
export function withAliases(config: MeshConfig, domains: readonly string[]): readonly string[] {
  const own = trustDomainsOf(config);
  return [...new Set(domains.flatMap((domain) => (own.includes(domain) ? own : [domain])))];
}

function trustDomainsOf({ trustDomain, trustDomainAliases }: MeshConfig): readonly string[] {
  return [trustDomain, ...trustDomainAliases];
}

function expanded(own: readonly string[], principal: string): readonly string[] {
  const [domain = "", ...rest] = principal.split("/");
  // Anything else says nothing of a trust domain, or leaves it open.
  if (rest.length !== 4 || domain === "*") return [principal];
  if (domain !== POINTER && !own.some((candidate) => isLike(candidate, domain))) return [principal];
  const all = own.map((candidate) => (isSuffixLike(candidate, domain) ? principal : [candidate, ...rest].join("/")));
  return [...new Set(all)];
}

function isLike(domain: string, pattern: string): boolean {
  return (
    domain === pattern ||
    isSuffixLike(domain, pattern) ||
    (pattern.endsWith("*") && domain.startsWith(pattern.slice(0, -1)))
  );
}

function isSuffixLike(domain: string, pattern: string): boolean {
  return pattern.startsWith("*") && domain.endsWith(pattern.slice(1));
}

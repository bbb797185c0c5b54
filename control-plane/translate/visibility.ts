/** `exportTo`: who sees an object (rule 4). */

/** `.` its own namespace, `*` all, `~` nobody, else names of namespaces; empty means `defaults`. */
export function isVisibleTo(
  exportTo: readonly string[] | undefined,
  defaults: readonly string[],
  ownNamespace: string,
  clientNamespace: string,
): boolean {
  for (const target of exportTo === undefined || exportTo.length === 0 ? defaults : exportTo) {
    if (target === "*") return true;
    if (target === "." && ownNamespace === clientNamespace) return true;
    if (target === clientNamespace) return true;
  }
  return false;
}

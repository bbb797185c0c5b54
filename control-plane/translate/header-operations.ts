/** `headers` of a route or destination → header mutations; Host is a rewrite (rule 25). */
import { type JsonObject, nonEmpty, sortedEntries } from "./json.ts";
import type { HeaderChange, HeaderOperations } from "./spec/virtual-service.ts";

export interface HeaderMutations {
  readonly requestHeadersToAdd: readonly JsonObject[];
  readonly requestHeadersToRemove: readonly string[];
  readonly responseHeadersToAdd: readonly JsonObject[];
  readonly responseHeadersToRemove: readonly string[];
  /** What `Host` or `:authority` is set to. */
  readonly authority: string | undefined;
}

export const NO_MUTATIONS: HeaderMutations = {
  requestHeadersToAdd: [],
  requestHeadersToRemove: [],
  responseHeadersToAdd: [],
  responseHeadersToRemove: [],
  authority: undefined,
};

export function headerMutations(operations: HeaderOperations | undefined): HeaderMutations {
  if (operations === undefined) return NO_MUTATIONS;
  const { request, response } = operations;
  const authorities = [...sortedEntries(request?.set), ...sortedEntries(request?.add)]
    .filter(([name]) => isAuthority(name))
    .map(([, value]) => value);
  return {
    requestHeadersToAdd: additions(request)
      .filter(({ name }) => !isAuthority(name))
      .map(({ json }) => json),
    requestHeadersToRemove: (request?.remove ?? []).filter((name) => !isAuthority(name)),
    responseHeadersToAdd: additions(response).map(({ json }) => json),
    responseHeadersToRemove: response?.remove ?? [],
    authority: authorities[0],
  };
}

/** One list after the other: the route's, then the destination's. */
export function joined(first: HeaderMutations, second: HeaderMutations): HeaderMutations {
  return {
    requestHeadersToAdd: [...first.requestHeadersToAdd, ...second.requestHeadersToAdd],
    requestHeadersToRemove: [...first.requestHeadersToRemove, ...second.requestHeadersToRemove],
    responseHeadersToAdd: [...first.responseHeadersToAdd, ...second.responseHeadersToAdd],
    responseHeadersToRemove: [...first.responseHeadersToRemove, ...second.responseHeadersToRemove],
    authority: first.authority ?? second.authority,
  };
}

/** The fields of a route or a weighted cluster; empty lists stay away. */
export function mutationFields(mutations: HeaderMutations): JsonObject {
  return {
    requestHeadersToAdd: nonEmpty(mutations.requestHeadersToAdd),
    requestHeadersToRemove: nonEmpty(mutations.requestHeadersToRemove),
    responseHeadersToAdd: nonEmpty(mutations.responseHeadersToAdd),
    responseHeadersToRemove: nonEmpty(mutations.responseHeadersToRemove),
  };
}

function additions(change: HeaderChange | undefined): readonly { readonly name: string; readonly json: JsonObject }[] {
  return [
    ...sortedEntries(change?.set).map(([name, value]) => ({
      name,
      json: { header: { key: name, value: String(value) }, appendAction: "OVERWRITE_IF_EXISTS_OR_ADD" },
    })),
    ...sortedEntries(change?.add).map(([name, value]) => ({
      name,
      json: { header: { key: name, value: String(value) } },
    })),
  ];
}

function isAuthority(name: string): boolean {
  const lower = name.toLowerCase();
  return lower === "host" || lower === ":authority";
}

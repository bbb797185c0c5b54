/** What an authorization service says of a request. */

export type HeaderAction = "append" | "add-if-absent" | "overwrite" | "overwrite-if-exists";

/** Names in lower case, one byte a character. */
export interface HeaderChange {
  readonly name: string;
  readonly value: string;
  readonly action: HeaderAction;
  /** By the old `append` field, and by lists of headers to append: joined to what is there, nothing where there is nothing. */
  readonly isJoined?: boolean;
}

export type CheckResult =
  | {
      readonly verdict: "ok";
      /** Of the request that goes on. */
      readonly requestHeaders: readonly HeaderChange[];
      readonly removedHeaders: readonly string[];
      /** Of the response that will come. */
      readonly responseHeaders: readonly HeaderChange[];
      readonly setParameters: readonly (readonly [string, string])[];
      readonly removedParameters: readonly string[];
      readonly metadata: Readonly<Record<string, unknown>> | undefined;
    }
  | {
      readonly verdict: "denied";
      readonly status: number;
      readonly body: string;
      readonly headers: readonly (readonly [string, string])[];
      readonly metadata: Readonly<Record<string, unknown>> | undefined;
    }
  /** The service could not be asked, or had no answer. */
  | { readonly verdict: "error" };

/** Asks; calls back once, possibly at once, unless cancelled. */
export interface Authorizer {
  check(request: CheckInput, onDone: (result: CheckResult) => void): { cancel(): void };
}

/** A message that is encoded only where it is sent as such. */
export interface CheckInput {
  readonly attributes: import("./check-request.ts").CheckAttributes;
}

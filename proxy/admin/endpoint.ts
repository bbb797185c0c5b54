/** What an admin page is: a path, its help, and a function of the query. */

export interface AdminRequest {
  readonly method: string;
  /** Percent-decoded; the first of a name counts. */
  readonly query: URLSearchParams;
}

export interface AdminResponse {
  /** Default 200. */
  readonly status?: number;
  /** Default `text/plain; charset=UTF-8`. */
  readonly contentType?: string;
  readonly body: string;
  /** Runs once the answer has been sent (`/quitquitquit`). */
  readonly afterwards?: () => void;
}

export interface AdminEndpoint {
  /** Exact: no prefix, no trailing slash. */
  readonly path: string;
  readonly help: string;
  readonly parameters?: readonly AdminParameter[];
  /** Changes something: only by POST. */
  readonly mutates?: boolean;
  handle(request: AdminRequest): AdminResponse | Promise<AdminResponse>;
}

export interface AdminParameter {
  readonly name: string;
  readonly help: string;
}

/** A text answer. */
export function text(body: string, status = 200): AdminResponse {
  return { status, body };
}

/** A JSON answer, indented by one blank as Envoy's. */
export function json(value: unknown): AdminResponse {
  return { contentType: "application/json", body: `${JSON.stringify(value, undefined, 1)}\n` };
}

/** True for `?name`, `?name=`, `?name=true` and the like: Envoy looks only whether it is there. */
export function has(request: AdminRequest, name: string): boolean {
  return request.query.has(name);
}

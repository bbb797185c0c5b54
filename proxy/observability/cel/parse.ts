/** The Common Expression Language, read into a tree: operators, selection, indexing, calls and literals; no macros. */

export type CelNode =
  | { readonly kind: "literal"; readonly value: string | number | boolean | null }
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "select"; readonly of: CelNode; readonly field: string }
  | { readonly kind: "index"; readonly of: CelNode; readonly key: CelNode }
  | {
      readonly kind: "call";
      readonly target: CelNode | undefined;
      readonly name: string;
      readonly args: readonly CelNode[];
    }
  | { readonly kind: "list"; readonly items: readonly CelNode[] }
  | { readonly kind: "unary"; readonly operator: "!" | "-"; readonly of: CelNode }
  | { readonly kind: "binary"; readonly operator: BinaryOperator; readonly left: CelNode; readonly right: CelNode }
  | { readonly kind: "choice"; readonly condition: CelNode; readonly yes: CelNode; readonly no: CelNode };

export type BinaryOperator = "||" | "&&" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "+" | "-" | "*" | "/" | "%";

/** What is wrong with an expression, and where. */
export class CelSyntaxError extends Error {
  override readonly name = "CelSyntaxError";
}

const TOKEN =
  /\s*(?:([A-Za-z_]\w*)|(0x[0-9a-fA-F]+u?|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?u?)|("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(\|\||&&|==|!=|<=|>=|[<>!?:()[\].,+\-*/%]))/y;

const LEVELS: readonly (readonly BinaryOperator[])[] = [
  ["||"],
  ["&&"],
  ["==", "!=", "<", "<=", ">", ">=", "in"],
  ["+", "-"],
  ["*", "/", "%"],
];

interface Token {
  readonly kind: "name" | "number" | "string" | "operator" | "end";
  readonly text: string;
  readonly at: number;
}

/** Parses one expression. Throws `CelSyntaxError`. */
export function parseCel(text: string): CelNode {
  const reader = new Reader(tokensOf(text), text);
  const node = reader.choice();
  reader.end();
  return node;
}

function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (text.slice(at).trim() !== "") {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    if (match === null) throw new CelSyntaxError(`cannot be read at character ${at + 1}: ${text.slice(at, at + 10)}`);
    const [, name, number, string, operator] = match;
    const kind =
      name !== undefined ? "name" : number !== undefined ? "number" : string !== undefined ? "string" : "operator";
    tokens.push({ kind, text: name ?? number ?? string ?? operator ?? "", at });
    at = TOKEN.lastIndex;
  }
  tokens.push({ kind: "end", text: "the end", at });
  return tokens;
}

class Reader {
  readonly #tokens: readonly Token[];
  readonly #text: string;
  #position = 0;

  constructor(tokens: readonly Token[], text: string) {
    this.#tokens = tokens;
    this.#text = text;
  }

  choice(): CelNode {
    const condition = this.#binary(0);
    if (!this.#take("?")) return condition;
    const yes = this.#binary(0);
    this.#expect(":");
    return { kind: "choice", condition, yes, no: this.choice() };
  }

  end(): void {
    if (this.#token.kind !== "end") this.#fail(`${this.#token.text} is not expected`);
  }

  #binary(level: number): CelNode {
    const operators = LEVELS[level];
    if (operators === undefined) return this.#unary();
    let left = this.#binary(level + 1);
    for (;;) {
      const operator = operators.find((candidate) => this.#take(candidate));
      if (operator === undefined) return left;
      left = { kind: "binary", operator, left, right: this.#binary(level + 1) };
    }
  }

  #unary(): CelNode {
    if (this.#take("!")) return { kind: "unary", operator: "!", of: this.#unary() };
    if (this.#take("-")) return { kind: "unary", operator: "-", of: this.#unary() };
    return this.#member(this.#primary());
  }

  #member(of: CelNode): CelNode {
    if (this.#take(".")) {
      const field = this.#name();
      if (!this.#take("(")) return this.#member({ kind: "select", of, field });
      return this.#member({ kind: "call", target: of, name: field, args: this.#list(")") });
    }
    if (this.#take("[")) {
      const key = this.choice();
      this.#expect("]");
      return this.#member({ kind: "index", of, key });
    }
    return of;
  }

  #primary(): CelNode {
    const token = this.#token;
    switch (token.kind) {
      case "number":
        this.#position++;
        return { kind: "literal", value: Number(token.text.replace(/u$/, "")) };
      case "string":
        this.#position++;
        return { kind: "literal", value: unquoted(token.text) };
      case "name":
        return this.#named();
      case "operator":
        if (this.#take("(")) {
          const inner = this.choice();
          this.#expect(")");
          return inner;
        }
        if (this.#take("[")) return { kind: "list", items: this.#list("]") };
        return this.#fail(`${token.text} is not expected`);
      case "end":
        return this.#fail("it ends too early");
    }
  }

  #named(): CelNode {
    const name = this.#name();
    if (name === "true" || name === "false") return { kind: "literal", value: name === "true" };
    if (name === "null") return { kind: "literal", value: null };
    return this.#take("(") ? { kind: "call", target: undefined, name, args: this.#list(")") } : { kind: "name", name };
  }

  #list(close: ")" | "]"): CelNode[] {
    const items: CelNode[] = [];
    if (this.#take(close)) return items;
    do items.push(this.choice());
    while (this.#take(","));
    this.#expect(close);
    return items;
  }

  #name(): string {
    const token = this.#token;
    if (token.kind !== "name") return this.#fail(`a name is expected, not ${token.text}`);
    this.#position++;
    return token.text;
  }

  #take(text: string): boolean {
    const { kind, text: found } = this.#token;
    if (found !== text || kind === "string" || kind === "end") return false;
    this.#position++;
    return true;
  }

  #expect(text: string): void {
    if (!this.#take(text)) this.#fail(`${text} is expected, not ${this.#token.text}`);
  }

  #fail(message: string): never {
    throw new CelSyntaxError(`${message} at character ${this.#token.at + 1} of ${this.#text}`);
  }

  get #token(): Token {
    return this.#tokens[this.#position] as Token;
  }
}

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r", "0": "\0" };

function unquoted(text: string): string {
  return text.slice(1, -1).replaceAll(/\\(.)/gs, (_whole, escaped: string) => ESCAPES[escaped] ?? escaped);
}

/** Classes of a table's cells; TOP_CELL is for rows of several lines. */
export const HEAD = "px-3 py-2 font-medium first:pl-0 last:pr-0";
export const CELL = "px-3 py-2 first:pl-0 last:pr-0";
export const TOP_CELL = `${CELL} align-top`;

-- The most popular category in each country.
WITH post AS (
    SELECT
        geo.country,
        pin.category
    FROM pin
    JOIN geo ON geo.ind = pin.ind
),
counted AS (
    SELECT country, category, count(*) AS category_count
    FROM post
    WHERE country IS NOT NULL AND category IS NOT NULL
    GROUP BY country, category
),
ranked AS (
    SELECT counted.*, rank() OVER (PARTITION BY country ORDER BY category_count DESC) AS place
    FROM counted
)
SELECT country, category, category_count
FROM ranked
WHERE place = 1
ORDER BY country, category;

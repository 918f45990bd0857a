-- The most popular category of the posts made in each year.
WITH post AS (
    SELECT
        CAST(substr(CAST(geo.timestamp AS text), 1, 4) AS integer) AS year,
        pin.category
    FROM pin
    JOIN geo ON geo.ind = pin.ind
),
counted AS (
    SELECT year, category, count(*) AS category_count
    FROM post
    WHERE year IS NOT NULL AND category IS NOT NULL
    GROUP BY year, category
),
ranked AS (
    SELECT counted.*, rank() OVER (PARTITION BY year ORDER BY category_count DESC) AS place
    FROM counted
)
SELECT year, category, category_count
FROM ranked
WHERE place = 1
ORDER BY year, category;

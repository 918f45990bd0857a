-- The most popular category in each age group.
WITH post AS (
    SELECT
        CASE
            WHEN users.age BETWEEN 18 AND 24 THEN '18-24'
            WHEN users.age BETWEEN 25 AND 35 THEN '25-35'
            WHEN users.age BETWEEN 36 AND 50 THEN '36-50'
            WHEN users.age > 50 THEN '50+'
        END AS age_group,
        pin.category
    FROM pin
    JOIN users ON users.ind = pin.ind
),
counted AS (
    SELECT age_group, category, count(*) AS category_count
    FROM post
    WHERE age_group IS NOT NULL AND category IS NOT NULL
    GROUP BY age_group, category
),
ranked AS (
    SELECT counted.*, rank() OVER (PARTITION BY age_group ORDER BY category_count DESC) AS place
    FROM counted
)
SELECT age_group, category, category_count
FROM ranked
WHERE place = 1
ORDER BY age_group, category;
